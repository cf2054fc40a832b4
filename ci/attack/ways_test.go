// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// ways are attacks on the way to the registry: TLS, redirections, credentials.
func ways() []scenario {
	return []scenario{
		{name: "a certificate of somebody else", says: "the registry's certificate is not trusted", setup: func(k *kit) { k.tls(false) }},
		{name: "a layer redirected from https to http", says: "redirected from https to http: this is not followed", setup: func(k *kit) {
			plain := k.server
			image := k.trust(image(release()))
			layer := k.layerOf(image, -1)
			k.tls(true)
			k.on(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusFound)
			}, layer)
		}},
		{name: "redirections in a circle", says: "redirections", setup: func(k *kit) {
			image := k.trust(image(release()))
			k.on(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, k.layerOf(image, -1))
		}},
		{name: "a redirection to another host, with credentials", says: "content is altered", setup: func(k *kit) {
			image := k.trust(image(release()))
			layer := k.layerOf(image, -1)
			got := k.thief()
			k.credentials(k.host())
			k.lie = func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				switch {
				case r.Header.Get("Authorization") == "":
					w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
					w.WriteHeader(http.StatusUnauthorized)
				case strings.HasSuffix(r.URL.Path, layer) && r.Method == http.MethodGet:
					http.Redirect(w, r, got.URL, http.StatusFound)
				default:
					return false
				}
				return true
			}
		}},
		{name: "a token service on http for a registry on https", says: `realm scheme "http" not allowed`, setup: func(k *kit) {
			k.trust(image(release()))
			thief := k.thief()
			k.tls(true)
			k.credentials(k.host())
			k.lie = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+thief.URL+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
		}},
		{name: "a proxy that strips TLS, with credentials", says: "the credentials are not sent without TLS", setup: func(k *kit) {
			k.trust(image(release()))
			thief := k.thief()
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodConnect:
					http.Error(w, "no TLS here", http.StatusForbidden)
				case r.Header.Get("Authorization") == "":
					w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
					w.WriteHeader(http.StatusUnauthorized)
				default:
					thief.Config.Handler.ServeHTTP(w, r)
				}
			}))
			k.t.Cleanup(proxy.Close)
			k.env = append(k.env, "http_proxy="+proxy.URL, "https_proxy="+proxy.URL)
			k.credentials("10.255.255.1:5000")
			k.source = "oci:10.255.255.1:5000/edge/node:v1"
		}},
		{name: "a proxy that strips TLS, without credentials", says: "the image is not signed", setup: func(k *kit) {
			k.push(image(release()))
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodConnect {
					http.Error(w, "no TLS here", http.StatusForbidden)
					return
				}
				k.server.Config.Handler.ServeHTTP(w, r)
			}))
			k.t.Cleanup(proxy.Close)
			k.env = append(k.env, "http_proxy="+proxy.URL, "https_proxy="+proxy.URL)
			k.source = "oci:10.255.255.1:5000/edge/node:v1"
		}},
		{name: "a mirror with another image", says: "the image is not signed", setup: func(k *kit) {
			k.push(image(release("KAIROS_VERSION", "v9.9.9")))
			k.args = append(k.args, "--mirror", "registry.example.org=http://"+k.host())
			k.source = "oci:registry.example.org/edge/node:v1"
			k.env = append(k.env, "https_proxy=http://127.0.0.1:9", "http_proxy=http://127.0.0.1:9")
		}},
	}
}

// thief is a server that must never get credentials.
func (k *kit) thief() *httptest.Server {
	var got atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			got.Store(true)
		}
		_, _ = fmt.Fprint(w, "thank you")
	}))
	k.t.Cleanup(server.Close)
	k.check = func() {
		if got.Load() {
			k.t.Error("the credentials were sent to somebody else")
		}
	}
	return server
}

// credentials gives the node a name and a password for a registry.
func (k *kit) credentials(host string) {
	file := filepath.Join(k.t.TempDir(), "config.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"auths": {%q: {"username": "node", "password": "secret"}}}`, host), 0o600); err != nil {
		k.t.Fatal(err)
	}
	k.args = append(k.args, "--registry-config", file)
}

// tls serves over https, with a certificate that the node trusts or not. The name of the
// registry is one that has no http.
func (k *kit) tls(trusted bool) {
	handler := k.server.Config.Handler
	k.server = httptest.NewTLSServer(handler)
	k.t.Cleanup(k.server.Close)
	if trusted {
		file := filepath.Join(k.t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.server.Certificate().Raw}), 0o644); err != nil {
			k.t.Fatal(err)
		}
		k.args = append(k.args, "--ca-file", file)
	}
	k.source = "oci:" + k.host() + "/" + repository + ":" + k.tag
}
