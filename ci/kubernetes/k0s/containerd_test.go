// SPDX-License-Identifier: Apache-2.0

package k0s

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	registries "github.com/containerd/containerd/v2/core/remotes/docker/config"
)

// nodeFiles are the files of a node that has registries for k0s, as the agent's own test
// has recorded them.
func nodeFiles(t *testing.T, name string) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../../../framework/machine/kubernetes/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	heads := regexp.MustCompile(`(?m)^-- (\S+) \d+ restart \w+ --\n`)
	text, at := string(data), heads.FindAllStringSubmatchIndex(string(data), -1)
	files := map[string]string{}
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		files[text[m[2]:m[3]]] = text[m[1]:end]
	}
	return files
}

// TestDropIn: containerd's own loader reads where the registries are, in both formats.
func TestDropIn(t *testing.T) {
	for name, plugin := range map[string]string{"k0s-registries.golden": "io.containerd.grpc.v1.cri", "k0s-join.golden": "io.containerd.cri.v1.images"} {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(nodeFiles(t, name)["/etc/k0s/containerd.d/90-kairos.toml"]), 0o600); err != nil {
			t.Fatal(err)
		}
		var loaded config.Config
		if err := config.LoadConfig(t.Context(), path, &loaded); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var cri struct {
			Registry struct {
				ConfigPath string `toml:"config_path"`
			} `toml:"registry"`
		}
		if _, err := loaded.Decode(t.Context(), plugin, &cri); err != nil || cri.Registry.ConfigPath != "/run/kairos/kubernetes/registries" {
			t.Errorf("%s: %+v, %v", name, cri, err)
		}
	}
}

// hostsOf are the places that containerd asks for a registry.
func hostsOf(t *testing.T, files map[string]string, registry string) []docker.RegistryHost {
	t.Helper()
	root := t.TempDir()
	certificates := makeCertificates(t)
	for name, text := range files {
		below, ok := strings.CutPrefix(name, "/run/kairos/kubernetes/registries/")
		if !ok {
			continue
		}
		path := filepath.Join(root, below)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "/oem/", certificates+"/")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hosts, err := registries.ConfigureHosts(t.Context(), registries.HostOptions{HostDir: registries.HostDirFromRoot(root)})(registry)
	if err != nil {
		t.Fatal(err)
	}
	return hosts
}

func makeCertificates(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
	dir := t.TempDir()
	for name, data := range map[string][]byte{"ca.crt": certificate, "node.crt": certificate, "node.key": private, "both.pem": append(certificate, private...)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestHosts: containerd asks the mirrors in their order, then the registry, with the
// credentials and certificates of each.
func TestHosts(t *testing.T) {
	const ada, other = `Basic YWRhOmdlImhlaW0=`, `Basic YWRhOmdlaGVpbQ==`
	for _, tt := range []struct {
		registry string
		want     []string
	}{
		{"registry.example.org", []string{"https://mirror.example.org/v2/copies " + ada + " certificate", "http://192.0.2.5:5000/v2/cache/copies", "https://registry.example.org/v2 " + other}},
		{"unknown.example.org", []string{"https://mirror.example.org/v2 " + ada + " certificate", "https://unknown.example.org/v2"}},
		{"private.example.org:5000", []string{"https://mirror.example.org/v2 " + ada + " certificate", "https://private.example.org:5000/v2 certificate unchecked"}},
	} {
		var got []string
		for _, h := range hostsOf(t, nodeFiles(t, "k0s-join.golden"), tt.registry) {
			place := h.Scheme + "://" + h.Host + h.Path
			if v := h.Header.Get("Authorization"); v != "" {
				place += " " + v
			}
			if tr, ok := h.Client.Transport.(*http.Transport); ok {
				if len(tr.TLSClientConfig.Certificates) > 0 {
					place += " certificate"
				}
				if tr.TLSClientConfig.InsecureSkipVerify {
					place += " unchecked"
				}
			}
			got = append(got, place)
		}
		if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.registry, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// TestCredentials: containerd 2 gets at a manifest with what hosts.toml has, also if
// the registry sends it to a service of tokens.
func TestCredentials(t *testing.T) {
	for _, scheme := range []string{"Basic", "Bearer"} {
		var place string
		registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			authorization := r.Header.Get("Authorization")
			switch {
			case r.URL.Path == "/token" && authorization == "Basic YWRhOmdlaGVpbQ==":
				_, _ = w.Write([]byte(`{"token":"good"}`))
			case scheme == "Basic" && authorization == "Basic YWRhOmdlaGVpbQ==", scheme == "Bearer" && authorization == "Bearer good":
				w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
				w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
				w.Header().Set("Content-Length", "2")
			default:
				w.Header().Set("WWW-Authenticate", scheme+` realm="http://`+place+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		defer registry.Close()
		place = strings.TrimPrefix(registry.URL, "http://")
		text := strings.ReplaceAll(nodeFiles(t, "k0s-join.golden")["/run/kairos/kubernetes/registries/registry.example.org/hosts.toml"], "[header]", "server = \""+registry.URL+"\"\n[header]")
		text, _, _ = strings.Cut(text, "[host]")
		hosts := func(string) ([]docker.RegistryHost, error) {
			return hostsOf(t, map[string]string{"/run/kairos/kubernetes/registries/" + place + "/hosts.toml": text}, place), nil
		}
		name, _, err := docker.NewResolver(docker.ResolverOptions{Hosts: hosts}).Resolve(t.Context(), place+"/app:1")
		if err != nil {
			t.Errorf("%s: %q, %v", scheme, name, err)
		}
	}
}
