// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

func TestShown(t *testing.T) {
	for _, c := range []struct{ name, address, want string }{
		{"nothing to hide", "https://example.org/a/b.yaml", "https://example.org/a/b.yaml"},
		{"a port", "http://example.org:8080/a", "http://example.org:8080/a"},
		{"query", "https://example.org/a?token=geheim", "https://example.org/a"},
		{"fragment", "https://example.org/a#geheim", "https://example.org/a"},
		{"user", "https://ada:geheim@example.org/a", "https://example.org/a"},
		{"user alone", "https://geheim@example.org/a", "https://example.org/a"},
		{"a token of a forge in the path", "https://example.org/ghp_geheim0/raw/a", "https://example.org/.../raw/a"},
		{"another", "https://example.org/api/glpat-geheim/a", "https://example.org/api/.../a"},
		{"a webhook", "https://example.org/hooks/geheim", "https://example.org/hooks/..."},
		{"a private feed", "https://example.org/priv/geheim/pool/a.deb", "https://example.org/priv/.../pool/a.deb"},
		{"a gist that is not listed", "https://gist.githubusercontent.com/ada/geheim/raw/a", "https://gist.githubusercontent.com/ada/.../raw/a"},
		{"over SSH", "git@git.example.org:site.git", "git@git.example.org:site.git"},
		{"one that does not parse", "https://ada:geheim@example.org:x/a%zz?b", "https://example.org:x/a%zz"},
		{"a fragment in one that does not parse", "https://example.org:x/a#geheim", "https://example.org:x/a"},
		{"an escaped name", "https://example.org/a%20b", "https://example.org/a%20b"},
		{"an escaped name before a secret", "https://example.org/a%20b/token/geheim", "https://example.org/a%20b/token/..."},
		{"a digest is none", "https://example.org/sha256/0123456789abcdef", "https://example.org/sha256/0123456789abcdef"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := fetch.Shown(c.address); got != c.want || strings.Contains(got, "geheim") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzShown(f *testing.F) {
	for _, s := range []string{"https://a:b@example.org/c?d#e", "://", "a", "https://%zz@x/?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if got := fetch.Shown(address); strings.ContainsAny(got, "?#") {
			t.Errorf("%q: %q", address, got)
		}
	})
}

// TestDowngrade: a request that begins over TLS does not end without it, not even
// behind a second redirection or where a library makes the client.
func TestDowngrade(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "without TLS") }))
	defer plain.Close()
	secure := httptest.NewTLSServer(nil)
	defer secure.Close()
	mux := http.NewServeMux()
	mux.Handle("/one", http.RedirectHandler(plain.URL, http.StatusFound))
	mux.Handle("/two", http.RedirectHandler(secure.URL+"/one", http.StatusFound))
	mux.Handle("/good", http.RedirectHandler(secure.URL+"/end", http.StatusFound))
	mux.HandleFunc("/end", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/file", http.RedirectHandler("file:///etc/hostname", http.StatusFound))
	mux.Handle("/forever", http.RedirectHandler("/forever", http.StatusFound))
	secure.Config.Handler = mux
	inner := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	inner.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	for name, client := range map[string]*http.Client{"ours": fetch.Client(inner), "of a library": {Transport: fetch.Transport(inner)}} {
		for path, want := range map[string]error{"/one": fetch.ErrDowngrade, "/two": fetch.ErrDowngrade, "/file": fetch.ErrDowngrade, "/good": nil} {
			answer, err := client.Get(secure.URL + path)
			if err == nil {
				err = answer.Body.Close()
			}
			if !errors.Is(err, want) || err != nil && want == nil {
				t.Errorf("%s, %s: %v, want %v", name, path, err, want)
			}
		}
	}
	answer, err := fetch.Client(nil).Get(plain.URL)
	if err != nil || answer.Body.Close() != nil {
		t.Errorf("without TLS from the beginning: %v", err)
	}
	if _, err := fetch.Client(inner).Get(secure.URL + "/forever"); err == nil || !strings.Contains(err.Error(), "more than 5 redirections") {
		t.Errorf("redirections without an end: %v", err)
	}
}
