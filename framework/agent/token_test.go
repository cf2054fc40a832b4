// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tokens has a join token of k0s for each role, with this secret.
const (
	tokens      = "../machine/kubernetes/jointoken/testdata/"
	tokenSecret = "0123456789abcdef"
)

func TestTokenShow(t *testing.T) {
	const want = `distribution  k0s
role          worker
server        https://10.0.0.1:6443
user          kubelet-bootstrap
authority     CN=kubernetes-ca, until 2036-01-02
              sha256 `
	got := call(t, newNode(t), "", "token", "show", tokens+"worker.token")
	if got.code != 0 || got.stderr != "" || !strings.HasPrefix(got.stdout, want) || !strings.HasSuffix(got.stdout, "id            abcdef\nsecret        not shown; --secret shows it\n") {
		t.Errorf("got %+v", got)
	}
	for _, tt := range []struct {
		args []string
		want string
		show bool
	}{
		{nil, "not shown", false},
		{[]string{"--secret"}, "secret        " + tokenSecret + "\n", true},
		{[]string{"--json"}, "\"role\": \"worker\",\n", false},
		{[]string{"--json", "--secret"}, `"secret": "` + tokenSecret + `"`, true},
		{[]string{"--role", "worker"}, "role          worker", false},
	} {
		got := call(t, newNode(t), "", append([]string{"token", "show", tokens + "worker.token"}, tt.args...)...)
		if got.code != 0 || !strings.Contains(got.stdout, tt.want) || strings.Contains(got.stdout, tokenSecret) != tt.show {
			t.Errorf("%q: got %+v", tt.args, got)
		}
	}
}

func TestTokenRewrite(t *testing.T) {
	for _, tt := range []struct{ file, server, want, warning string }{
		{"worker.token", "https://k0s.example.org", "https://k0s.example.org:6443", ""},
		{"controller.token", "https://[fd00::1]", "https://[fd00::1]:9443", ""},
		{"controller.token", "https://10.0.0.5:6443", "https://10.0.0.5:6443", "warning: the address https://10.0.0.5:6443 has port 6443, where a worker joins; a controller joins at port 9443, unless a load balancer maps it\n"},
	} {
		text, err := os.ReadFile(tokens + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		made := call(t, newNode(t), string(text), "token", "rewrite", "--server", tt.server, "-")
		if made.code != 0 || made.stderr != tt.warning {
			t.Errorf("%s: got %+v, want %q", tt.file, made, tt.warning)
		}
		got := call(t, newNode(t), made.stdout, "token", "show", "--secret", "-")
		old := call(t, newNode(t), string(text), "token", "show", "--secret", "-")
		want := strings.Replace(old.stdout, line(old.stdout, "server"), "server        "+tt.want, 1)
		if diff := cmp.Diff(want, strings.Split(got.stdout, "doubt")[0]); diff != "" {
			t.Error(diff)
		}
	}
}

// line returns the line of a table that begins with a word.
func line(table, word string) string {
	for l := range strings.Lines(table) {
		if strings.HasPrefix(l, word+" ") {
			return strings.TrimSuffix(l, "\n")
		}
	}
	return ""
}

func TestTokenRefuses(t *testing.T) {
	const k3s = "K100123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef::server:" + tokenSecret
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"no verb", "", nil, "it has the commands rewrite, show"},
		{"no file", "", []string{"show"}, "accepts 1 arg(s), received 0"},
		{"no server", "", []string{"rewrite", "-"}, "which address? Give --server https://HOST"},
		{"a server without a scheme", "W", []string{"rewrite", "--server", "k0s.example.org", "-"}, "did you mean https://k0s.example.org?"},
		{"k3s", k3s, []string{"show", "-"}, "this is a token of k3s (or RKE2)"},
		{"k3s, to be rewritten", k3s, []string{"rewrite", "--server", "https://k0s.example.org", "-"}, "this is a token of k3s (or RKE2)"},
		{"the other role", "W", []string{"show", "--role", "controller", "-"}, "this token is for a worker (its user is kubelet-bootstrap), and a controller is to join"},
		{"the other role, to be rewritten", "W", []string{"rewrite", "--role", "controller", "--server", "https://k0s.example.org", "-"}, "this token is for a worker"},
		{"an unknown role", "W", []string{"show", "--role", "server", "-"}, `--role "server": want worker or controller`},
		{"a token in the argument", "", []string{"show", k3s}, "reading the file in the argument: no such file or directory; give the name of a file, or - for standard input"},
		{"a long token in the argument", "", []string{"show", strings.Repeat(k3s, 9)}, "file name too long"},
		{"a large file", "", []string{"show", large}, "has more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			worker, err := os.ReadFile(tokens + "worker.token")
			if err != nil {
				t.Fatal(err)
			}
			got := call(t, newNode(t), strings.ReplaceAll(tt.stdin, "W", string(worker)), append([]string{"token"}, tt.args...)...)
			if got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
			if strings.Contains(got.stderr, tokenSecret) {
				t.Errorf("the message shows the secret: %s", got.stderr)
			}
		})
	}
}
