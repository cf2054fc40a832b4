// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"path"

	"go.yaml.in/yaml/v3"
)

// A kubeconfig is the part of a kubeconfig that leads to an API. k3s and k0s write these
// files, not people: unknown keys are skipped.
type kubeconfig struct {
	Current  string `yaml:"current-context"`
	Contexts []struct {
		Name    string
		Context struct{ Cluster, User string }
	}
	Clusters []struct {
		Name    string
		Cluster struct {
			Server        string
			Authority     string `yaml:"certificate-authority"`
			AuthorityData string `yaml:"certificate-authority-data"`
			ServerName    string `yaml:"tls-server-name"`
		}
	}
	Users []struct {
		Name string
		User struct {
			Certificate     string `yaml:"client-certificate"`
			CertificateData string `yaml:"client-certificate-data"`
			Key             string `yaml:"client-key"`
			KeyData         string `yaml:"client-key-data"`
		}
	}
}

// access is a way to an API.
type access struct {
	server string // a URL
	tls    *tls.Config
	user   string // common name of the client certificate
}

// A fileReader reads a file of the node.
type fileReader func(name string) ([]byte, error)

// readKubeconfig reads a kubeconfig and the files that it names.
func readKubeconfig(read fileReader, name string) (access, error) {
	data, err := read(name)
	if err != nil {
		return access{}, err
	}
	a, err := parse(data, func(file string) ([]byte, error) {
		if !path.IsAbs(file) {
			file = path.Join(path.Dir(name), file)
		}
		return read(file)
	})
	if err != nil {
		return access{}, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

// parse reads the current context of a kubeconfig.
func parse(data []byte, read fileReader) (access, error) {
	var k kubeconfig
	if err := yaml.Unmarshal(data, &k); err != nil {
		return access{}, fmt.Errorf("it is no kubeconfig: %w", err)
	}
	a := access{tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	cluster, user := k.context()
	for _, c := range k.Clusters {
		if c.Name != cluster {
			continue
		}
		pem, err := content(c.Cluster.AuthorityData, c.Cluster.Authority, read)
		if err != nil {
			return access{}, fmt.Errorf("its authority: %w", err)
		}
		a.server, a.tls.ServerName, a.tls.RootCAs = c.Cluster.Server, c.Cluster.ServerName, x509.NewCertPool()
		if !a.tls.RootCAs.AppendCertsFromPEM(pem) {
			return access{}, errors.New("its authority is no certificate")
		}
	}
	if a.server == "" {
		return access{}, errors.New("its current context names no server")
	}
	return a, k.sign(&a, user, read)
}

// context returns the names of the current cluster and user.
func (k kubeconfig) context() (cluster, user string) {
	for _, c := range k.Contexts {
		if c.Name == k.Current {
			return c.Context.Cluster, c.Context.User
		}
	}
	return "", ""
}

// sign adds the client certificate of a user. Certificate and key may be one file, which
// the kubelet replaces when it renews its certificate.
func (k kubeconfig) sign(a *access, user string, read fileReader) error {
	for _, u := range k.Users {
		if u.Name != user {
			continue
		}
		certificate, err := content(u.User.CertificateData, u.User.Certificate, read)
		if err != nil {
			return fmt.Errorf("its client certificate: %w", err)
		}
		key, err := content(u.User.KeyData, u.User.Key, read)
		if err != nil {
			return fmt.Errorf("its client key: %w", err)
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return fmt.Errorf("its client certificate: %w", err)
		}
		a.tls.Certificates, a.user = []tls.Certificate{pair}, pair.Leaf.Subject.CommonName
		return nil
	}
	return errors.New("its current context names no user")
}

// content is what a kubeconfig has in itself or in a file.
func content(data, file string, read fileReader) ([]byte, error) {
	switch {
	case data != "":
		return base64.StdEncoding.DecodeString(data)
	case file != "":
		return read(file)
	}
	return nil, errors.New("there is none")
}
