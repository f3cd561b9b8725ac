// Command control-plane runs a real Kubernetes API server, its etcd and its
// controllers in one process, for tests. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	logFile      = "control-plane.log" // in --dir
	startTimeout = 2 * time.Minute
	stopTimeout  = 10 * time.Second // after this the process ends, finished or not
)

func main() {
	// Not the default set: dependencies put flags of theirs into it.
	flags := flag.NewFlagSet("control-plane", flag.ExitOnError)
	dir := flags.String("dir", "", "`folder` for keys, etcd's data and the log; created, must not have been used before")
	kubeconfig := flags.String("kubeconfig", "", "`file` to write the administrator's kubeconfig to, once ready")
	port := flags.Int("port", 0, "port on 127.0.0.1; 0 picks a free one")
	dieWithStdin := flags.Bool("die-with-stdin", false, "stop when stdin reaches its end, so that no test leaks this process")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: control-plane --dir DIR --kubeconfig FILE [options] [-- kube-apiserver options]")
		flags.PrintDefaults()
	}
	_ = flags.Parse(os.Args[1:])
	if *dir == "" || *kubeconfig == "" {
		flags.Usage()
		os.Exit(2)
	}

	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	if *dieWithStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	// A component that hangs must not keep the process alive.
	go func() {
		<-ctx.Done()
		time.Sleep(stopTimeout)
		os.Exit(1)
	}()

	err := run(ctx, *dir, *kubeconfig, *port, flags.Args())
	klog.Flush()
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "control-plane: %v (log: %s)\n", err, filepath.Join(*dir, logFile))
		os.Exit(1)
	}
}

// run starts everything, reports readiness, and stops everything when ctx ends.
// On an error the process just ends: there is nothing to save, and an API server
// that is stopped while it starts fails noisily, which would hide the cause.
func run(ctx context.Context, dir, kubeconfig string, port int, apiserverArgs []string) error {
	kubeconfig, err := filepath.Abs(kubeconfig)
	if err != nil {
		return err
	}
	if err := prepare(dir); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	server := "https://" + listener.Addr().String()
	admin, err := writeCerts(server)
	if err != nil {
		return err
	}

	etcd, err := startEtcd()
	if err != nil {
		return err
	}
	apiserver := start("kube-apiserver", func(ctx context.Context) error {
		return runAPIServer(ctx, listener, apiserverArgs)
	})
	if err := waitUntil(ctx, apiserver, admin.serves); err != nil {
		return err
	}
	controllers := start("kube-controller-manager", runControllers)
	kubelet := start("kubelet", admin.runKubelet)
	if err := waitUntil(ctx, controllers, admin.ready); err != nil {
		return err
	}

	if err := admin.writeKubeconfig(kubeconfig); err != nil {
		return err
	}
	ready := map[string]any{"server": server, "kubeconfig": kubeconfig, "pid": os.Getpid()}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		kubelet.stop()
		controllers.stop()
		apiserver.stop()
		etcd.Close()
		return nil
	case <-apiserver.done:
		return apiserver.failure()
	case <-controllers.done:
		return controllers.failure()
	case <-kubelet.done:
		return kubelet.failure()
	case err := <-etcd.Err():
		return fmt.Errorf("etcd: %w", err)
	}
}

// prepare makes dir a fresh private working directory and sends the
// components' logs to a file in it.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// All paths below are relative: a socket's path has a short length limit.
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := os.Chmod(".", 0o700); err != nil {
		return err
	}
	if err := os.Mkdir("etcd", 0o700); errors.Is(err, os.ErrExist) {
		return errors.New("--dir was used before: every start is a new cluster, give a new folder")
	} else if err != nil {
		return err
	}

	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	logging := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(logging)
	for _, option := range []string{"-logtostderr=false", "-stderrthreshold=FATAL", "-one_output"} {
		if err := logging.Parse([]string{option}); err != nil {
			return err
		}
	}
	klog.SetOutput(log)
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	return nil
}

// component is a part of the control plane that runs until it is stopped.
type component struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid once done is closed
}

func start(name string, run func(context.Context) error) *component {
	ctx, cancel := context.WithCancel(context.Background())
	c := &component{name: name, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = run(ctx)
	}()
	return c
}

func (c *component) stop() {
	c.cancel()
	<-c.done
}

func (c *component) failure() error {
	if c.err == nil {
		return fmt.Errorf("%s ended by itself", c.name)
	}
	return fmt.Errorf("%s: %w", c.name, c.err)
}

// waitUntil polls check until it passes, c fails, ctx ends, or time is up.
func waitUntil(ctx context.Context, c *component, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return c.failure()
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
