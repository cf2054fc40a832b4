// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	o := Options{
		TLS: filepath.Join(dir, "tls"), Agent: filepath.Join(dir, "agent"), Admin: filepath.Join(dir, "admin.conf"), AdminMode: 0o600,
		Node: "node", IP: "192.0.2.7", Services: "10.43.0.0/16", Domain: "cluster.local", Port: 6444, Front: 6443, Names: []string{"vip.example"},
	}
	if err := o.Certificates(); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(o.TLS, "server-ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	cert := certificate(t, filepath.Join(o.TLS, "serving-kube-apiserver.crt"))
	for _, name := range []string{"192.0.2.7", "10.43.0.1", "vip.example", "node"} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("the API server is not %s: %v", name, err)
		}
	}
	kubelet := certificate(t, filepath.Join(o.TLS, "client-kubelet.crt")).Subject
	if kubelet.CommonName != "system:node:node" || !slices.Equal(kubelet.Organization, []string{"system:nodes"}) {
		t.Errorf("the kubelet is %s", kubelet)
	}
	if err := o.Certificates(); err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(filepath.Join(o.TLS, "server-ca.crt"))
	if err != nil || string(again) != string(ca) {
		t.Errorf("the second start has another authority, %v", err)
	}
	if _, server, err := Client(o.Admin); err != nil || server != "https://127.0.0.1:6443" {
		t.Errorf("the administrator goes to %q, %v", server, err)
	}
}

func certificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestTaints(t *testing.T) {
	got := taints([]string{"node-role.kubernetes.io/control-plane=:NoSchedule", "a=b:NoExecute"})
	if len(got) != 2 || got[0]["value"] != "" || got[0]["effect"] != "NoSchedule" || got[1]["value"] != "b" {
		t.Errorf("got %v", got)
	}
}

func TestDNS(t *testing.T) {
	if got := DNS("10.96.0.0/12"); got != "10.96.0.10" {
		t.Errorf("got %s", got)
	}
}
