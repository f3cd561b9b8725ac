package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// admin is the administrator's access to the cluster.
type admin struct {
	config *clientcmdapi.Config
	client kubernetes.Interface
}

func newAdmin(config *clientcmdapi.Config) (*admin, error) {
	rest, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	rest.QPS = -1 // no limit
	rest.UserAgent = "stanch-test-kubelet"
	client, err := kubernetes.NewForConfig(rest)
	return &admin{config, client}, err
}

// writeKubeconfig writes path at once and whole: a reader never sees a part.
func (a *admin) writeKubeconfig(path string) error {
	partial := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := clientcmd.WriteToFile(*a.config, partial); err != nil { // with mode 0600
		return err
	}
	return os.Rename(partial, path)
}

// serves checks that the API server answers, with its default roles in place.
func (a *admin) serves(ctx context.Context) error {
	_, err := a.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}

// ready checks that the controllers did what the first test relies on.
func (a *admin) ready(ctx context.Context) error {
	if _, err := a.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	if _, err := a.client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
		return err
	}
	for _, name := range []string{"admin", "edit", "view"} {
		role, err := a.client.RbacV1().ClusterRoles().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(role.Rules) == 0 {
			return errors.New("the cluster role " + name + " is not aggregated yet")
		}
	}
	return nil
}
