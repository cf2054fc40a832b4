// SPDX-License-Identifier: Apache-2.0

// Package clustertest has an API server for tests of code that asks a cluster about a
// node.
package clustertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// An API is an API server with an authority of its own. It takes certificates of that
// authority only.
type API struct {
	*httptest.Server
	t         testing.TB
	Root      tree.Root
	Authority *x509.Certificate
	key       *ecdsa.PrivateKey
	Answers   map[string]string // by path; a text that begins with a number has that status
	mu        sync.Mutex
	asked     []string
}

// Asked lists the paths that were asked for, each behind the name in the client's
// certificate.
func (a *API) Asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// New starts an API server for a node without files.
func New(t testing.TB) *API {
	t.Helper()
	a := &API{t: t, Root: tree.Root{Dir: t.TempDir(), KeepOwner: true}, Answers: map[string]string{}}
	a.Authority, a.key = certify(t, nil, nil, "cluster-ca")
	pool := x509.NewCertPool()
	pool.AddCert(a.Authority)
	own, key := certify(t, a.Authority, a.key, "kube-apiserver")
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(a.answer))
	a.TLS = &tls.Config{
		ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: key}},
	}
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

// certify makes a certificate, of an authority or, without one, of itself.
func certify(t testing.TB, authority *x509.Certificate, by *ecdsa.PrivateKey, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"system:nodes"}}, NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA: authority == nil, BasicConstraintsValid: true,
	}
	if authority == nil {
		authority, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func (a *API) answer(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.URL.Path)
	text, ok := a.Answers[r.URL.Path]
	status := http.StatusOK
	if !ok {
		status, text = http.StatusNotFound, `{"kind":"Status","status":"Failure","message":"not found","code":404}`
	}
	if _, err := fmt.Sscanf(text, "%d ", &status); err == nil {
		_, text, _ = strings.Cut(text, " ")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

// Put writes a file of the node.
func (a *API) Put(name string, data []byte) {
	a.t.Helper()
	path := filepath.Join(a.Root.Dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
		a.t.Fatal(err)
	}
}

// Block is a PEM block.
func Block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pair is a client certificate and its key.
func (a *API) pair(user string) (certificate, key []byte) {
	a.t.Helper()
	c, k := certify(a.t, a.Authority, a.key, user)
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return Block("CERTIFICATE", c.Raw), Block("EC PRIVATE KEY", der)
}

// Files writes a kubeconfig that names files, as k3s does.
func (a *API) Files(name, user string) {
	certificate, key := a.pair(user)
	a.Put("k/client.crt", certificate)
	a.Put("k/client.key", key)
	a.Put("k/ca.crt", Block("CERTIFICATE", a.Authority.Raw))
	a.Put(name, fmt.Appendf(nil, `apiVersion: v1
clusters:
- cluster: {server: %s, certificate-authority: /k/ca.crt}
  name: local
contexts:
- context: {cluster: local, namespace: default, user: user}
  name: Default
current-context: Default
kind: Config
preferences: {}
users:
- name: user
  user: {client-certificate: /k/client.crt, client-key: /k/client.key}
`, a.URL))
}

// Inside writes a kubeconfig with certificates inside; the kubelet's own is a file with
// the key, beside it.
func (a *API) Inside(name, user string, rotating bool) {
	certificate, key := a.pair(user)
	base64 := base64.StdEncoding.EncodeToString
	client := fmt.Sprintf("client-certificate-data: %s, client-key-data: %s", base64(certificate), base64(key))
	if rotating {
		a.Put(filepath.Join(filepath.Dir(name), "pki/kubelet-client-current.pem"), append(certificate, key...))
		client = "client-certificate: pki/kubelet-client-current.pem, client-key: pki/kubelet-client-current.pem"
	}
	a.Put(name, fmt.Appendf(nil, "kind: Config\ncurrent-context: c\nclusters: [{name: k0s, cluster: {server: %q, certificate-authority-data: %s}}]\ncontexts: [{name: c, context: {cluster: k0s, user: u}}]\nusers: [{name: other, user: {token: x}}, {name: u, user: {%s}}]\n",
		a.URL, base64(Block("CERTIFICATE", a.Authority.Raw)), client))
}

// Node is a Node object as an API server sends it, with one of its conditions.
func Node(boot, version, ready, reason, message string) string {
	return fmt.Sprintf(`{"kind":"Node","apiVersion":"v1","metadata":{"name":"edge-1","uid":"4d0","labels":{"kubernetes.io/os":"linux"}},"spec":{"podCIDR":"10.42.0.0/24"},
"status":{"capacity":{"cpu":"1","memory":"3Gi"},"conditions":[
{"type":"MemoryPressure","status":"False","lastHeartbeatTime":"2026-01-01T00:00:00Z","reason":"KubeletHasSufficientMemory","message":"kubelet has sufficient memory available"},
{"type":"Ready","status":%q,"lastHeartbeatTime":"2026-01-01T00:00:00Z","reason":%q,"message":%q}],
"addresses":[{"type":"Hostname","address":"edge-1"}],
"nodeInfo":{"machineID":"9","systemUUID":"9","bootID":%q,"kernelVersion":"6.12.0","kubeletVersion":%q,"kubeProxyVersion":"","operatingSystem":"linux","architecture":"amd64"}}}`, ready, reason, message, boot, version)
}
