// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
)

// envProxied tells the test that it runs in a process of its own, and names the
// file with certificates. Go's HTTP client reads the names of proxies only once.
const envProxied = "KAIROS_TEST_PROXIED_CA"

// TestProxy opens an image in a registry that only a proxy reaches.
func TestProxy(t *testing.T) {
	if ca := os.Getenv(envProxied); ca != "" {
		o := quick()
		o.CAFile = ca
		if err := read(t.Context(), "example.com/edge/node:v1", o); err != nil {
			t.Error(err)
		}
		return
	}
	r := newRegistry(t, largeImage(t), httptest.NewTLSServer)
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
	var tunnels atomic.Int32
	proxy := httptest.NewServer(tunnelTo(t, r.host(), &tunnels))
	defer proxy.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxy$")
	cmd.Env = append(os.Environ(), envProxied+"="+ca, "https_proxy="+proxy.URL, "HTTPS_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil || tunnels.Load() == 0 {
		t.Errorf("%d tunnels, %v\n%s", tunnels.Load(), err, out)
	}
}

// tunnelTo is a proxy that connects every client to one destination.
func tunnelTo(t *testing.T, destination string, count *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodConnect || req.Host != "example.com:443" {
			t.Errorf("the proxy is asked to %s %s", req.Method, req.Host)
			return
		}
		there, err := new(net.Dialer).DialContext(req.Context(), "tcp", destination)
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		count.Add(1)
		w.WriteHeader(http.StatusOK)
		here, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer here.Close()
		go func() { _, _ = io.Copy(there, buffered) }()
		_, _ = io.Copy(here, there)
	})
}
