// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
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
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/release"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

const (
	thisBoot = "7f1f2c5e-4b1c-4c4a-9d6e-0f3b1a2c3d4e"
	lastBoot = "1a2b3c4d-0000-4000-8000-000000000000"
)

// An api is an API server with an authority of its own. It takes certificates of that
// authority only.
type api struct {
	*httptest.Server
	t         testing.TB
	root      tree.Root
	authority *x509.Certificate
	key       *ecdsa.PrivateKey
	answers   map[string]string // by path; a text that begins with a number has that status
	asked     []string          // paths, with the name in the client's certificate
}

func newAPI(t testing.TB) *api {
	t.Helper()
	a := &api{t: t, root: tree.Root{Dir: t.TempDir(), KeepOwner: true}, answers: map[string]string{}}
	a.authority, a.key = certify(t, nil, nil, "cluster-ca")
	pool := x509.NewCertPool()
	pool.AddCert(a.authority)
	own, key := certify(t, a.authority, a.key, "kube-apiserver")
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
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"system:nodes"}}, NotAfter: time.Now().Add(time.Hour),
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

func (a *api) answer(w http.ResponseWriter, r *http.Request) {
	a.asked = append(a.asked, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.URL.Path)
	text, ok := a.answers[r.URL.Path]
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

func (a *api) put(name string, data []byte) {
	a.t.Helper()
	path := filepath.Join(a.root.Dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
		a.t.Fatal(err)
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pair is a client certificate and its key.
func (a *api) pair(user string) (certificate, key []byte) {
	a.t.Helper()
	c, k := certify(a.t, a.authority, a.key, user)
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return block("CERTIFICATE", c.Raw), block("EC PRIVATE KEY", der)
}

// files writes a kubeconfig that names files, as k3s does.
func (a *api) files(name, user string) {
	certificate, key := a.pair(user)
	a.put("k/client.crt", certificate)
	a.put("k/client.key", key)
	a.put("k/ca.crt", block("CERTIFICATE", a.authority.Raw))
	a.put(name, fmt.Appendf(nil, `apiVersion: v1
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

// inside writes a kubeconfig with certificates inside; the kubelet's own is a file with
// the key, beside it.
func (a *api) inside(name, user string, rotating bool) {
	certificate, key := a.pair(user)
	base64 := base64.StdEncoding.EncodeToString
	client := fmt.Sprintf("client-certificate-data: %s, client-key-data: %s", base64(certificate), base64(key))
	if rotating {
		a.put(filepath.Join(filepath.Dir(name), "pki/kubelet-client-current.pem"), append(certificate, key...))
		client = "client-certificate: pki/kubelet-client-current.pem, client-key: pki/kubelet-client-current.pem"
	}
	a.put(name, fmt.Appendf(nil, "kind: Config\ncurrent-context: c\nclusters: [{name: k0s, cluster: {server: %q, certificate-authority-data: %s}}]\ncontexts: [{name: c, context: {cluster: k0s, user: u}}]\nusers: [{name: other, user: {token: x}}, {name: u, user: {%s}}]\n",
		a.URL, base64(block("CERTIFICATE", a.authority.Raw)), client))
}

// object is a Node object as an API server sends it, with one of its conditions.
func object(boot, version, ready, reason, message string) string {
	return fmt.Sprintf(`{"kind":"Node","apiVersion":"v1","metadata":{"name":"edge-1","uid":"4d0","labels":{"kubernetes.io/os":"linux"}},"spec":{"podCIDR":"10.42.0.0/24"},
"status":{"capacity":{"cpu":"1","memory":"3Gi"},"conditions":[
{"type":"MemoryPressure","status":"False","lastHeartbeatTime":"2026-01-01T00:00:00Z","reason":"KubeletHasSufficientMemory","message":"kubelet has sufficient memory available"},
{"type":"Ready","status":%q,"lastHeartbeatTime":"2026-01-01T00:00:00Z","reason":%q,"message":%q}],
"addresses":[{"type":"Hostname","address":"edge-1"}],
"nodeInfo":{"machineID":"9","systemUUID":"9","bootID":%q,"kernelVersion":"6.12.0","kubeletVersion":%q,"kubeProxyVersion":"","operatingSystem":"linux","architecture":"amd64"}}}`, ready, reason, message, boot, version)
}

func version(t testing.TB, text string) release.Version {
	t.Helper()
	v, err := release.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (a *api) ready(m kubernetes.Member) error {
	return This{Root: a.root, Member: m, BootID: thisBoot, Hostname: "Edge-1"}.Ready(a.t.Context())
}

// says compares an error with a part of its text; none is no error.
func says(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestNode(t *testing.T) {
	k3s, k0s := version(t, "v1.34.1+k3s1"), version(t, "v1.34.1+k0s.0")
	const path = "/api/v1/nodes/edge-1"
	const ours, healthy = "v1.34.1+k3s1", "kubelet is posting ready status"
	for _, c := range []struct {
		name    string
		version release.Version
		answer  string
		want    string
	}{
		{"ready", k3s, object(thisBoot, ours, "True", "KubeletReady", healthy), ""},
		{"of the boot before", k3s, object(lastBoot, ours, "True", "KubeletReady", healthy), "the kubelet of node edge-1 has not reported in this boot: what the API has is from boot \"" + lastBoot + `"`},
		{"of the version before", k3s, object(thisBoot, "v1.33.5+k3s1", "True", "KubeletReady", healthy), "node edge-1 reports Kubernetes v1.33.5+k3s1, this image has v1.34.1+k3s1"},
		{"of another release", k3s, object(thisBoot, "v1.34.1+k3s2", "True", "KubeletReady", healthy), "reports Kubernetes v1.34.1+k3s2"},
		{"no network yet", k3s, object(thisBoot, ours, "False", "KubeletNotReady", "container runtime network not ready: cni plugin not initialized"), "node edge-1 is not Ready: container runtime network not ready: cni plugin not initialized"},
		{"silent", k3s, object(thisBoot, ours, "Unknown", "NodeStatusUnknown", ""), "node edge-1 is not Ready: NodeStatusUnknown"},
		{"no condition", k3s, strings.Replace(object(thisBoot, ours, "True", "", ""), `"Ready"`, `"PIDPressure"`, 1), "its kubelet has reported no condition Ready"},
		{"not there", k3s, `404 {"kind":"Status","message":"nodes \"edge-1\" not found"}`, "the cluster has no node edge-1 yet"},
		{"forbidden", k3s, `403 {"kind":"Status","message":"nodes \"edge-1\" is forbidden"}`, `answers 403 to /api/v1/nodes/edge-1: nodes "edge-1" is forbidden`},
		{"starting", k3s, "503 ", "answers 503 to " + path},
		{"no object", k3s, "hello", "with something else than an object"},
		{"k0s leaves its number out", k0s, object(thisBoot, "v1.34.1+k0s", "True", "KubeletReady", healthy), ""},
		{"k0s in full", k0s, object(thisBoot, "v1.34.1+k0s.0", "True", "KubeletReady", healthy), ""},
		{"k3s on a k0s", k0s, object(thisBoot, ours, "True", "KubeletReady", healthy), "reports Kubernetes v1.34.1+k3s1, this image has v1.34.1+k0s.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAPI(t)
			a.files("/k/kubelet.kubeconfig", "system:node:edge-1")
			a.answers[path] = c.answer
			says(t, a.ready(kubernetes.Member{Version: c.version, Kubelet: true, Kubeconfigs: []string{"/k/kubelet.kubeconfig", "/none"}}), c.want)
		})
	}
}

// TestControlPlane: without a kubelet, the API server itself is asked.
func TestControlPlane(t *testing.T) {
	for _, c := range []struct{ name, readyz, version, want string }{
		{"ready", "ok", `{"major":"1","minor":"34","gitVersion":"v1.34.1+k0s"}`, ""},
		{"not ready", "500 [+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n", "", "is not ready: etcd failed: reason withheld"},
		{"no reason", "401 {}", "", "is not ready: answer 401"},
		{"old", "ok", `{"gitVersion":"v1.33.1+k0s"}`, "has Kubernetes v1.33.1+k0s, this image has v1.34.1+k0s.0"},
		{"no version", "ok", "404 ", "the API has no version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAPI(t)
			a.inside("/k/admin.conf", "kubernetes-admin", false)
			a.answers["/readyz"], a.answers["/version"] = c.readyz, c.version
			says(t, a.ready(kubernetes.Member{Version: version(t, "v1.34.1+k0s.0"), Server: true, Kubeconfigs: []string{"/k/admin.conf"}}), c.want)
		})
	}
}

// TestNames: the name is in the kubelet's certificate; with another one, the config or
// the host name has it. A certificate of the kubelet that is renewed is a link beside it.
func TestNames(t *testing.T) {
	for _, c := range []struct{ name, user, config, want string }{
		{"the kubelet's", "system:node:edge-1-4f2a", "other", "edge-1-4f2a"},
		{"of the config", "system:admin", "rack-7", "rack-7"},
		{"the host's", "system:admin", "", "edge-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAPI(t)
			a.inside("/k/kubelet.conf", c.user, true)
			a.answers["/api/v1/nodes/"+c.want] = object(thisBoot, "v1.34.1+k3s1", "True", "", "")
			says(t, a.ready(kubernetes.Member{Version: version(t, "v1.34.1+k3s1"), Kubelet: true, NodeName: c.config, Kubeconfigs: []string{"/k/kubelet.conf"}}), "")
		})
	}
}

// TestUnreachable: what is said when the API cannot be asked.
func TestUnreachable(t *testing.T) {
	member := func(name string) kubernetes.Member {
		return kubernetes.Member{Version: version(t, "v1.34.1+k3s1"), Unit: "k3s.service", Kubelet: true, Kubeconfigs: []string{name}}
	}
	a := newAPI(t)
	says(t, a.ready(member("/none")), "k3s has not written /none yet; see `journalctl -b -u k3s.service`")
	a.files("/k/a", "system:node:edge-1")
	foreign := newAPI(t)
	a.put("k/ca.crt", block("CERTIFICATE", foreign.authority.Raw))
	says(t, a.ready(member("/k/a")), "certificate signed by unknown authority")
	a.put("k/ca.crt", []byte("no"))
	says(t, a.ready(member("/k/a")), "/k/a: its authority is no certificate")
	a.put("k/b", []byte("- a\n"))
	says(t, a.ready(member("/k/b")), "/k/b: it is no kubeconfig")
	a.put("k/c", []byte("kind: Config\n"))
	says(t, a.ready(member("/k/c")), "/k/c: its current context names no server")
	a.files("/k/a", "system:node:edge-1")
	a.Close()
	says(t, a.ready(member("/k/a")), "the API at "+a.URL+" does not answer: dial tcp")
}

// TestRedirection: an API sends nobody elsewhere.
func TestRedirection(t *testing.T) {
	a := newAPI(t)
	a.files("/k/a", "system:node:edge-1")
	a.answers["/api/v1/nodes/edge-1"] = "302 "
	says(t, a.ready(kubernetes.Member{Version: version(t, "v1.34.1+k3s1"), Kubelet: true, Kubeconfigs: []string{"/k/a"}}), "answers 302")
}

// TestHangs: an API that does not answer costs the time that it is given.
func TestHangs(t *testing.T) {
	a := newAPI(t)
	a.files("/k/a", "system:node:edge-1")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	block := make(chan struct{})
	defer close(block)
	a.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block })
	err := This{Root: a.root, Member: kubernetes.Member{Kubelet: true, Kubeconfigs: []string{"/k/a"}}}.Ready(ctx)
	says(t, err, "does not answer: context deadline exceeded")
}

func TestAPIVersion(t *testing.T) {
	a := newAPI(t)
	a.files("/k/a", "system:node:edge-1")
	a.answers["/version"] = `{"gitVersion":"v1.34.1+k3s1"}`
	got, err := This{Root: a.root, Member: kubernetes.Member{Kubeconfigs: []string{"/k/a"}}}.APIVersion(t.Context())
	if err != nil || got != "v1.34.1+k3s1" {
		t.Errorf("%q, %v", got, err)
	}
	if len(a.asked) != 1 || a.asked[0] != "system:node:edge-1 /version" {
		t.Errorf("asked %q", a.asked)
	}
}
