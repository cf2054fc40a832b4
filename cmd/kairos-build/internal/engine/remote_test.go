// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func TestBuilderThatIsNotThere(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	// docker ends while the client writes to it, podman closes its input before.
	const words = "echo 'Error: No such container: builder' >&2\nexit 1\n"
	scripts := map[string]string{"docker": "head -c 1 >/dev/null\n", "podman": "exec <&-\nsleep 0.1\n", "kubectl": ""}
	for name, begin := range scripts {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+begin+words), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	tests := []struct{ url, want string }{
		{"unix:///nowhere/buildkitd.sock", "connect: no such file or directory"},
		{"tcp://" + address, "connection refused"},
		{"docker-container://builder", "No such container: builder"},
		{"podman-container://builder", "No such container: builder"},
		{"kube-pod://builder", "No such container: builder"},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			start := time.Now()
			_, err := Open(t.Context(), Options{Builder: tt.url, StateDir: t.TempDir()})
			if !errors.As(err, new(*BuilderError)) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.url) {
				t.Errorf("got %v", err)
			}
			if d := time.Since(start); d > remoteTimeout+time.Second {
				t.Errorf("took %s", d)
			}
			t.Log(time.Since(start).Round(time.Millisecond), err)
		})
	}
}

func TestBuilderThatStaysSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = Open(t.Context(), Options{Builder: "tcp://" + l.Addr().String(), Timeout: 300 * time.Millisecond, StateDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "no answer within 300ms") {
		t.Errorf("got %v", err)
	}
}

func TestCheckBuilder(t *testing.T) {
	tests := []struct{ url, want string }{
		{"tcp://host:1234", ""},
		{"docker-container://x", ""},
		{"unix:///run/x.sock", ""},
		{"ssh://host", `builder URL "ssh://host": unknown scheme "ssh", use one of unix://, tcp://, docker-container://, podman-container://, kube-pod://`},
		{"host:1234", "builder URL"},
		{"tcp://", `builder URL "tcp://" names no builder`},
		{"::", "builder URL"},
	}
	for _, tt := range tests {
		err := checkBuilder(tt.url)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.url, err, tt.want)
		}
	}
}

func TestBuilderWithMutualTLS(t *testing.T) {
	dir := t.TempDir()
	config := newCertificates(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	controlapi.RegisterControlServer(server, &controlapi.UnimplementedControlServer{})
	go func() { _ = server.Serve(l) }() // ends with Stop
	t.Cleanup(server.Stop)
	url := "tcp://" + l.Addr().String()

	e, err := Open(t.Context(), Options{Builder: url, TLS: TLS{Dir: dir}, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]TLS{
		"no client certificate": {CACert: filepath.Join(dir, "ca.pem")},
		"certificate, no key":   {CACert: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem")},
		"missing files":         {Dir: t.TempDir()},
		"other name":            {Dir: dir, ServerName: "other.example"},
	} {
		if _, err := Open(t.Context(), Options{Builder: url, TLS: bad, StateDir: t.TempDir()}); err == nil {
			t.Errorf("%s: connected", name)
		} else {
			t.Log(name+":", err)
		}
	}
}

// newCertificates writes an authority's and a client's certificate, and returns a
// server's.
func newCertificates(t *testing.T, dir string) *tls.Config {
	t.Helper()
	caKey, caCert := newCertificate(t, nil, nil)
	serverKey, serverCert := newCertificate(t, caCert, caKey)
	clientKey, clientCert := newCertificate(t, caCert, caKey)
	writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", caCert.Raw)
	writePEM(t, filepath.Join(dir, "cert.pem"), "CERTIFICATE", clientCert.Raw)
	der, err := x509.MarshalECPrivateKey(clientKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "key.pem"), "EC PRIVATE KEY", der)
	pool := x509.NewCertPool()
	pool.AddCert(caCert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{serverCert.Raw}, PrivateKey: serverKey}},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
	}
}

func newCertificate(t *testing.T, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "test"},
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IsCA:                  parent == nil,
		BasicConstraintsValid: true,
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
