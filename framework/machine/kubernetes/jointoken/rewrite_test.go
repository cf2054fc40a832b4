// SPDX-License-Identifier: Apache-2.0

package jointoken

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestRewrite(t *testing.T) {
	for _, tt := range []struct{ name, token, server, want string }{
		{"a name", worker(t), "https://k0s.example.org", "https://k0s.example.org:6443"},
		{"the port of a controller stays", controller(t), "https://k0s.example.org", "https://k0s.example.org:9443"},
		{"another port", worker(t), "https://k0s.example.org:443", "https://k0s.example.org:443"},
		{"a slash", worker(t), "https://10.0.0.2/", "https://10.0.0.2:6443"},
		{"IPv6", worker(t), "https://[fd00::1]", "https://[fd00::1]:6443"},
		{"a port of a load balancer stays", pack(t, config(t, "kubelet-bootstrap", "https://10.0.0.1:16443")), "https://10.0.0.2", "https://10.0.0.2:16443"},
		{"an old address without a port", pack(t, config(t, "controller-bootstrap", "https://10.0.0.1")), "https://10.0.0.2", "https://10.0.0.2:9443"},
		{"an old address that is none", pack(t, config(t, "kubelet-bootstrap", "10.0.0.1:6443")), "https://10.0.0.2", "https://10.0.0.2:6443"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := parse(t, tt.token)
			got, err := old.Rewrite(tt.server)
			if err != nil {
				t.Fatal(err)
			}
			want := old.Summary(true)
			want.Server, want.Doubts = tt.want, got.Doubts()
			if diff := cmp.Diff(want, parse(t, got.Text()).Summary(true)); diff != "" {
				t.Error(diff)
			}
			again, err := got.Rewrite(tt.server)
			if err != nil || again.Text() != got.Text() {
				t.Errorf("rewritten again, it has other bytes: %v", err)
			}
		})
	}
}

// TestRewriteKeepsTheRest: keys that this package does not know are still there.
func TestRewriteKeepsTheRest(t *testing.T) {
	old := parse(t, worker(t, "    server: SERVER\n", "    server: SERVER\n    tls-server-name: api\n", "kind: Config", "kind: Config\npreferences: {colors: true}"))
	changed, err := old.Rewrite("https://k0s.example.org")
	if err != nil {
		t.Fatal(err)
	}
	want, got := unpack(t, old), unpack(t, changed)
	cluster := want["clusters"].([]any)[0].(map[string]any)["cluster"].(map[string]any)
	if cluster["tls-server-name"] != "api" {
		t.Fatalf("the test has lost its key: %v", want)
	}
	cluster["server"] = "https://k0s.example.org:6443"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func unpack(t *testing.T, token Token) (values map[string]any) {
	t.Helper()
	data, err := decode(token.Text())
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// TestRewriteOtherClusters: only the address of the current context changes.
func TestRewriteOtherClusters(t *testing.T) {
	old := parse(t, worker(t, "clusters:\n", "clusters:\n- cluster: {server: 'https://192.0.2.1:6443'}\n  name: other\n"))
	changed, err := old.Rewrite("https://k0s.example.org")
	if err != nil {
		t.Fatal(err)
	}
	clusters := unpack(t, changed)["clusters"].([]any)
	if got := clusters[0].(map[string]any)["cluster"].(map[string]any)["server"]; got != "https://192.0.2.1:6443" {
		t.Errorf("the other cluster is now at %v", got)
	}
}

func TestRewriteRefuses(t *testing.T) {
	token := parse(t, worker(t))
	for _, tt := range []struct{ server, want string }{
		{"", "want https://HOST or https://HOST:PORT"},
		{"k0s.example.org", "did you mean https://k0s.example.org?"},
		{"10.0.0.2:6443", "did you mean https://10.0.0.2:6443?"},
		{"http://10.0.0.2:6443", "nodes join over https only"},
		{"https://", "its host is neither a name nor an IP address"},
		{"https://-k0s", "its host is neither a name nor an IP address"},
		{"https://a b", "want https://HOST"},
		{"https://fd00::1", "stands in brackets"},
		{"https://[fe80::1%25eth0]", "its host is neither"},
		{"https://10.0.0.2:0", "its port is not between 1 and 65535"},
		{"https://10.0.0.2:65536", "its port is not between 1 and 65535"},
		{"https://10.0.0.2/k8s", "no user, path or query"},
		{"https://me@10.0.0.2", "no user, path or query"},
		{"https://10.0.0.2?a=b", "no user, path or query"},
	} {
		_, err := token.Rewrite(tt.server)
		if !errors.Is(err, ErrServer) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.server, err, tt.want)
		}
	}
}

func TestDoubts(t *testing.T) {
	for _, tt := range []struct {
		user, server string
		want         []string
	}{
		{"kubelet-bootstrap", "https://10.0.0.1:6443", nil},
		{"kubelet-bootstrap", "https://10.0.0.1:443", nil},
		{"controller-bootstrap", "https://10.0.0.1:9443", nil},
		{"kubelet-bootstrap", "https://10.0.0.1:9443", []string{"has port 9443, where a controller joins"}},
		{"controller-bootstrap", "https://10.0.0.1:6443", []string{"has port 6443, where a worker joins"}},
		{"kubelet-bootstrap", "https://localhost:6443", []string{"that of the machine itself"}},
		{"kubelet-bootstrap", "https://[::1]:6443", []string{"that of the machine itself"}},
		{"kubelet-bootstrap", "10.0.0.1:6443", []string{"it has no scheme"}},
	} {
		got := parse(t, pack(t, config(t, tt.user, tt.server))).Doubts()
		if len(got) != len(tt.want) {
			t.Errorf("%s at %s: got %q, want %q", tt.user, tt.server, got, tt.want)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%s at %s: got %q, want %q", tt.user, tt.server, got[i], want)
			}
		}
	}
}

// FuzzParse: a text is refused, or it is a token that can be rewritten without a change
// of anything but its address.
func FuzzParse(f *testing.F) {
	f.Add(worker(f), "https://k0s.example.org")
	f.Add(controller(f), "https://[fd00::1]:443")
	f.Add("abcdef."+secret, "10.0.0.1")
	f.Fuzz(func(t *testing.T, text, server string) {
		token, err := Parse(text)
		if err != nil {
			return
		}
		checkRewrite(t, token, server)
	})
}

// FuzzKubeconfig is FuzzParse behind the base64 and the gzip. The word AUTHORITY stands
// for a certificate.
func FuzzKubeconfig(f *testing.F) {
	f.Add(strings.NewReplacer("SERVER", "https://10.0.0.1:6443", "USER", "kubelet-bootstrap").Replace(kubeconfig), "https://k0s.example.org")
	f.Add(strings.NewReplacer("SERVER", "&a x", "USER", "controller-bootstrap", "current-context: k0s", "current-context: &k k0s\nx: *k").Replace(kubeconfig), "https://k0s.example.org")
	f.Fuzz(func(t *testing.T, text, server string) {
		token, err := Parse(pack(t, strings.ReplaceAll(text, "AUTHORITY", certificate(t))))
		if err != nil {
			return
		}
		checkRewrite(t, token, server)
	})
}

func checkRewrite(t *testing.T, token Token, server string) {
	t.Helper()
	changed, err := token.Rewrite(server)
	if errors.Is(err, ErrServer) {
		return
	}
	if err != nil {
		t.Fatalf("a token that was read cannot be rewritten: %v", err)
	}
	want := token.Summary(true)
	want.Server, want.Doubts = changed.Server, changed.Doubts()
	if diff := cmp.Diff(want, changed.Summary(true)); diff != "" {
		t.Error(diff)
	}
}
