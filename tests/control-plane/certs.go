package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Files in the working directory.
const (
	caFile               = "certs/ca.crt"
	servingCertFile      = "certs/apiserver.crt"
	servingKeyFile       = "certs/apiserver.key"
	tokenKeyFile         = "certs/service-account.key"
	tokenPublicKeyFile   = "certs/service-account.pub"
	controllerKubeconfig = "certs/controller-manager.kubeconfig"
)

// authority signs the certificates of one cluster.
type authority struct {
	server string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	pem    []byte
}

// writeCerts makes all keys and certificates of a new cluster that listens at
// server, and returns the administrator's access. The administrator's key is
// only ever written to the kubeconfig.
func writeCerts(server string) (*admin, error) {
	if err := os.Mkdir("certs", 0o700); err != nil {
		return nil, err
	}
	ca := &authority{server: server}
	if err := ca.create(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(caFile, ca.pem, 0o600); err != nil {
		return nil, err
	}

	cert, key, err := ca.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local"},
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(servingCertFile, cert, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(servingKeyFile, key, 0o600); err != nil {
		return nil, err
	}

	if err := writeTokenKey(); err != nil {
		return nil, err
	}
	controllers, err := ca.kubeconfig("system:kube-controller-manager", "")
	if err != nil {
		return nil, err
	}
	if err := clientcmd.WriteToFile(*controllers, controllerKubeconfig); err != nil {
		return nil, err
	}
	config, err := ca.kubeconfig("stanch-test-admin", "system:masters")
	if err != nil {
		return nil, err
	}
	return newAdmin(config)
}

func (ca *authority) create() (err error) {
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := valid(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "stanch-test-ca"},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:     true,
	})
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		return err
	}
	ca.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	ca.cert, err = x509.ParseCertificate(der)
	return err
}

// sign returns a new certificate and its key, both as PEM.
func (ca *authority) sign(template *x509.Certificate) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, valid(template), ca.cert, private.Public(), ca.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

func valid(template *x509.Certificate) *x509.Certificate {
	template.SerialNumber, _ = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	template.BasicConstraintsValid = true
	return template
}

// writeTokenKey makes the key that signs service account tokens.
func writeTokenKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := os.WriteFile(tokenKeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(tokenPublicKeyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600)
}

// kubeconfig gives user, in group if any, access by a client certificate.
func (ca *authority) kubeconfig(user, group string) (*clientcmdapi.Config, error) {
	subject := pkix.Name{CommonName: user}
	if group != "" {
		subject.Organization = []string{group}
	}
	cert, key, err := ca.sign(&x509.Certificate{
		Subject:     subject,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	const name = "stanch-test"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: ca.server, CertificateAuthorityData: ca.pem}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	return config, nil
}
