// SPDX-License-Identifier: Apache-2.0

package k3s

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// supervise listens at k3s' port. It answers /cacerts and /ping itself, which need no
// token, and passes everything else to the API server: a client with a certificate by
// headers that the API server takes from this proxy alone, one with a token as it is.
func (s *server) supervise(ctx context.Context) error {
	identity, err := tls.LoadX509KeyPair(s.tls("serving-kube-apiserver.crt"), s.tls("serving-kube-apiserver.key"))
	if err != nil {
		return err
	}
	clients, err := pool(s.tls("client-ca.crt"))
	if err != nil {
		return err
	}
	handler, err := s.handler()
	if err != nil {
		return err
	}
	address := net.JoinHostPort(s.options.Bind, strconv.Itoa(s.options.Front))
	listener, err := tls.Listen("tcp", address, &tls.Config{
		Certificates: []tls.Certificate{identity}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		return err
	}
	front := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = front.Close()
	}()
	go func() { _ = front.Serve(listener) }()
	return nil
}

func (s *server) tls(name string) string { return filepath.Join(s.dir, "server", "tls", name) }

func pool(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	certs := x509.NewCertPool()
	if !certs.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("there is no certificate in %s", file)
	}
	return certs, nil
}

func (s *server) handler() (http.Handler, error) {
	withIdentity, err := s.proxy(true)
	if err != nil {
		return nil, err
	}
	plain, err := s.proxy(false)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cacerts", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, s.tls("server-ca.crt")) })
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "pong") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		impersonate(r)
		if r.Header.Get("X-Remote-User") != "" {
			withIdentity.ServeHTTP(w, r)
			return
		}
		plain.ServeHTTP(w, r)
	})
	return mux, nil
}

// impersonate replaces all headers about the user by what the certificate says.
func impersonate(r *http.Request) {
	for name := range r.Header {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Remote-") {
			delete(r.Header, name)
		}
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return
	}
	subject := r.TLS.PeerCertificates[0].Subject
	r.Header.Set("X-Remote-User", subject.CommonName)
	for _, group := range subject.Organization {
		r.Header.Add("X-Remote-Group", group)
	}
}

func (s *server) proxy(withIdentity bool) (http.Handler, error) {
	roots, err := pool(s.tls("server-ca.crt"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if withIdentity {
		identity, err := tls.LoadX509KeyPair(s.tls("client-auth-proxy.crt"), s.tls("client-auth-proxy.key"))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{identity}
	}
	target := &url.URL{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", s.options.Port)}
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     &http.Transport{TLSClientConfig: config},
		FlushInterval: -1, // a watch is an answer without an end
	}, nil
}
