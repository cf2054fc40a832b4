// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Kubeconfig is the file by which a program reaches an API server. It has one
// cluster, one user and one context.
type Kubeconfig struct {
	APIVersion string    `yaml:"apiVersion"`
	Kind       string    `yaml:"kind"`
	Clusters   []named   `yaml:"clusters"`
	Contexts   []context `yaml:"contexts"`
	Current    string    `yaml:"current-context"`
	Users      []user    `yaml:"users"`
}

type named struct {
	Name    string `yaml:"name"`
	Cluster struct {
		Server string `yaml:"server"`
		CA     string `yaml:"certificate-authority-data"`
	} `yaml:"cluster"`
}

type context struct {
	Name    string `yaml:"name"`
	Context struct {
		Cluster string `yaml:"cluster"`
		User    string `yaml:"user"`
	} `yaml:"context"`
}

type user struct {
	Name string `yaml:"name"`
	User struct {
		Cert  string `yaml:"client-certificate-data,omitempty"`
		Key   string `yaml:"client-key-data,omitempty"`
		Token string `yaml:"token,omitempty"`
	} `yaml:"user"`
}

// NewKubeconfig makes one whose cluster, user and context have the given names.
func NewKubeconfig(clusterName, userName, server string, ca []byte) *Kubeconfig {
	k := &Kubeconfig{APIVersion: "v1", Kind: "Config", Current: clusterName}
	k.Clusters = []named{{Name: clusterName}}
	k.Clusters[0].Cluster.Server = server
	k.Clusters[0].Cluster.CA = base64.StdEncoding.EncodeToString(ca)
	k.Users = []user{{Name: userName}}
	k.Contexts = []context{{Name: clusterName}}
	k.Contexts[0].Context.Cluster, k.Contexts[0].Context.User = clusterName, userName
	return k
}

// SetToken makes the user one with a token.
func (k *Kubeconfig) SetToken(token string) { k.Users[0].User.Token = token }

// Bytes is the file.
func (k *Kubeconfig) Bytes() ([]byte, error) { return yaml.Marshal(k) }

// WriteKubeconfig writes a kubeconfig with a certificate and its key inside.
func WriteKubeconfig(file, server, ca string, client Pair, mode uint32) error {
	authority, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(client.Cert)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(client.Key)
	if err != nil {
		return err
	}
	k := NewKubeconfig("default", "default", server, authority)
	k.Users[0].User.Cert = base64.StdEncoding.EncodeToString(cert)
	k.Users[0].User.Key = base64.StdEncoding.EncodeToString(key)
	return k.write(file, os.FileMode(mode))
}

func (k *Kubeconfig) write(file string, mode os.FileMode) error {
	data, err := k.Bytes()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, data, mode); err != nil {
		return err
	}
	return os.Chmod(file, mode)
}

// Client is an HTTP client with the rights of a kubeconfig, and the server's URL.
func Client(file string) (*http.Client, string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	var k Kubeconfig
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", file, err)
	}
	if len(k.Clusters) != 1 || len(k.Users) != 1 {
		return nil, "", fmt.Errorf("reading %s: it has not one cluster and one user", file)
	}
	config, err := k.tls()
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: time.Minute}, k.Clusters[0].Cluster.Server, err
}

func (k *Kubeconfig) tls() (*tls.Config, error) {
	ca, err := base64.StdEncoding.DecodeString(k.Clusters[0].Cluster.CA)
	if err != nil {
		return nil, err
	}
	cert, err := base64.StdEncoding.DecodeString(k.Users[0].User.Cert)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(k.Users[0].User.Key)
	if err != nil {
		return nil, err
	}
	identity, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{identity}, MinVersion: tls.VersionTLS12}, nil
}
