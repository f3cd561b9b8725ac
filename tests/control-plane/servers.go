package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	cliflag "k8s.io/component-base/cli/flag"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controllersoptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// In the private working directory; etcd wants a port, which becomes part of the name.
const (
	etcdSocket     = "unix://etcd.sock:0"
	etcdPeerSocket = "unix://etcd-peer.sock:0"
)

// startEtcd runs etcd. It speaks on sockets in the working directory, where
// nobody else may look, and never waits for the disk.
func startEtcd() (*embed.Etcd, error) {
	wal.SegmentSizeBytes = 4 << 20 // preallocated; 64 MB otherwise
	client, _ := url.Parse(etcdSocket)
	peer, _ := url.Parse(etcdPeerSocket)
	config := embed.NewConfig()
	config.Name, config.Dir = "test", "etcd"
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	config.TickMs, config.ElectionMs = 100, 500                                   // one member: it need not wait for others
	config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration // else it logs every request
	config.LogLevel = "warn"
	config.LogOutputs = []string{logFile}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	<-etcd.Server.ReadyNotify()
	return etcd, nil
}

// runAPIServer runs kube-apiserver on listener until ctx ends. Options in extra
// override ours.
func runAPIServer(ctx context.Context, listener net.Listener, extra []string) error {
	options := apiserveroptions.NewServerRunOptions()
	err := parse(options.Flags(), append([]string{
		"--etcd-servers=" + etcdSocket,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none", // 127.0.0.1 is no valid endpoint
		"--tls-cert-file=" + servingCertFile,
		"--tls-private-key-file=" + servingKeyFile,
		"--client-ca-file=" + caFile,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		// It taints new nodes until the node controller, which does not run here, has seen them.
		"--disable-admission-plugins=TaintNodesByCondition",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + tokenPublicKeyFile,
		"--service-account-signing-key-file=" + tokenKeyFile,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged=true",
		"--profiling=false",
	}, extra...))
	if err != nil {
		return err
	}
	options.SecureServing.Listener = listener
	options.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	if err := options.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	completed, err := options.Complete(ctx)
	if err != nil {
		return err
	}
	if err := utilerrors.NewAggregate(completed.Validate()); err != nil {
		return err
	}
	return apiserver.Run(ctx, completed)
}

// runControllers runs those of kube-controller-manager's controllers that the
// tests need, until ctx ends.
func runControllers(ctx context.Context) error {
	options, err := controllersoptions.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	all, disabled, aliases := controllers.KnownControllers(), controllers.ControllersDisabledByDefault(), controllers.ControllerAliases()
	err = parse(options.Flags(all, disabled, aliases), []string{
		"--kubeconfig=" + controllerKubeconfig,
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + tokenKeyFile,
		"--root-ca-file=" + caFile,
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=1000",
		"--kube-api-burst=1000",
		"--controllers=" + strings.Join([]string{
			names.ServiceAccountController,
			names.ServiceAccountTokenController,
			names.RootCACertificatePublisherController,
			names.NamespaceController,
			names.GarbageCollectorController,
			names.ClusterRoleAggregationController,
			names.ValidatingAdmissionPolicyStatusController,
			names.ReplicaSetController,
			names.DeploymentController,
			names.DaemonSetController,
			names.StatefulSetController,
			names.JobController,
			names.CronJobController,
			names.DisruptionController,
		}, ","),
	})
	if err != nil {
		return err
	}
	config, err := options.Config(ctx, all, disabled, aliases)
	if err != nil {
		return err
	}
	return controllers.Run(ctx, config.Complete())
}

func parse(sets cliflag.NamedFlagSets, args []string) error {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		flags.AddFlagSet(set)
	}
	return flags.Parse(args)
}
