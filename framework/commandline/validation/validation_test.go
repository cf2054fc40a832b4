// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
)

type printed struct {
	OK       bool
	Out, Err string
}

func check(t *testing.T, c Checker, names ...string) (printed, error) {
	t.Helper()
	var out, talk bytes.Buffer
	c.Out, c.Err = &out, &talk
	ok, err := c.Check(t.Context(), names)
	return printed{ok, out.String(), talk.String()}, err
}

const bad = "#cloud-config\nhostnam: a\n"

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(good, []byte("hostname: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const text = "stdin:2:1: hostnam: unknown key; did you mean \"hostname\"?\n    2 | hostnam: …\n      | ^\n"
	for _, c := range []struct {
		name    string
		checker Checker
		args    []string
		want    printed
	}{
		{"good", Checker{}, []string{good}, printed{true, good + ": valid\n", ""}},
		{"directory", Checker{}, []string{dir}, printed{true, good + ": valid\n", ""}},
		{"stdin", Checker{Stdin: strings.NewReader(bad)}, []string{"-"}, printed{false, "stdin: not valid (1 errors): a node goes without hostnam\n", text}},
		{"compat", Checker{Stdin: strings.NewReader(bad), Options: config.Options{Compat: true}}, []string{"-"},
			printed{true, "stdin: valid (1 warnings, 0 not implemented yet)\n", "stdin:2:1: warning: hostnam: unknown key, ignored: unknown keys are only warned about here (--compat or kairos.compat); did you mean \"hostname\"?\n    2 | hostnam: …\n      | ^\n"}},
		{"network-config", Checker{Stdin: strings.NewReader("version: 1\nconfig:\n- {type: physical, name: eth0}\n")}, []string{"-"}, printed{true, "stdin: valid (a network-config)\n", ""}},
		{"network-config below its key, with a mistake", Checker{Stdin: strings.NewReader("network:\n  version: 2\n  ethernets:\n    eth0: {dhcp: true}\n")}, []string{"-"},
			printed{false, "stdin: not valid (1 errors): a node does not use it\n", "stdin:4:12: network.ethernets.eth0.dhcp: unknown key; did you mean \"dhcp4\"?\n    4 |     eth0: {dhcp…\n      |            ^\n"}},
		{"Kubernetes, without an image", Checker{Stdin: strings.NewReader("k3s: {enabled: true}\nk3s-agent: {enabled: true, args: [--server=https://a:6443]}\n")}, []string{"-"},
			printed{false, "stdin: not valid (2 errors): a node goes without k3s and 1 more\n", "stdin:1:16: k3s.enabled: k3s-agent is enabled too (stdin:2:22): a node has one role in a cluster; disable one of them\n" +
				"stdin:2:22: k3s-agent.enabled: k3s is enabled too (stdin:1:16): a node has one role in a cluster; disable one of them\n"}},
		{"Kubernetes, for an image", Checker{Stdin: strings.NewReader("k3s: {enabled: true, args: [--x]}\n"), Kubernetes: &kubernetes.Image{}}, []string{"-"},
			printed{false, "stdin: not valid (1 errors): a node goes without k3s\n", "stdin:1:16: k3s.enabled: this image has no Kubernetes: build it with --k3s VERSION, such as kairos-build flavor debian-13 --k3s v1.34\n"}},
		{"later", Checker{Stdin: strings.NewReader("snap: []\n")}, []string{"-"},
			printed{true, "stdin: valid (0 warnings, 1 not implemented yet)\n", "stdin:1:1: snap: known key, not implemented yet in this version: snap\n    1 | snap: …\n      | ^\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := check(t, c.checker, c.args...)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v, differs (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestColour: the words are the same with and without colour.
func TestColour(t *testing.T) {
	plainly, _ := check(t, Checker{Stdin: strings.NewReader(bad)}, "-")
	coloured, _ := check(t, Checker{Stdin: strings.NewReader(bad), Colour: true}, "-")
	for _, code := range []string{bold, red, yellow, plain} {
		coloured.Err = strings.ReplaceAll(coloured.Err, code, "")
	}
	if diff := cmp.Diff(plainly, coloured); diff != "" {
		t.Errorf("differs (-plain +coloured):\n%s", diff)
	}
	if again, _ := check(t, Checker{Stdin: strings.NewReader(bad), Colour: true}, "-"); !strings.Contains(again.Err, red) {
		t.Error("no colour")
	}
}

func TestURL(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { write(t, w, "hostname: a\n") })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { write(t, w, strings.Repeat("# large\n", FetchSize/8+1)) })
	mux.Handle("/once", http.RedirectHandler("/good", http.StatusFound))
	mux.Handle("/forever", http.RedirectHandler("/forever", http.StatusFound))
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		write(t, w, "hostname: a\n")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, c := range []struct{ path, out, err string }{
		{"/good?token=geheim", server.URL + "/good: valid\n", ""},
		{"/once", server.URL + "/once: valid\n", ""},
		{"/large", "", "reading " + server.URL + "/large: it has more than 1 MiB; is this a cloud-config?"},
		{"/forever", "", "reading " + server.URL + "/forever: more than 5 redirections"},
		{"/nosuch?token=geheim", "", "reading " + server.URL + "/nosuch: the server says 404 Not Found"},
		{"/cut", "", "reading " + server.URL + "/cut: unexpected EOF"},
	} {
		t.Run(c.path, func(t *testing.T) {
			got, err := check(t, Checker{}, server.URL+c.path)
			if got.Out != c.out || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	server.Close()
	if _, err := check(t, Checker{}, server.URL+"/good?token=geheim"); err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a server that is gone: %v", err)
	}
}

func write(t *testing.T, w http.ResponseWriter, text string) {
	if _, err := w.Write([]byte(text)); err != nil {
		t.Log(err) // the reader has had enough
	}
}

// TestFromHTTPSToHTTP: a redirection from https to http is refused.
func TestFromHTTPSToHTTP(t *testing.T) {
	server := httptest.NewTLSServer(http.RedirectHandler("http://192.0.2.1/", http.StatusFound))
	defer server.Close()
	client := fetch.Client(server.Client().Transport)
	_, err := check(t, Checker{Client: client}, server.URL)
	if err == nil || !strings.Contains(err.Error(), "redirected from https to http") {
		t.Errorf("got %v", err)
	}
}

func TestTimeLimit(t *testing.T) {
	block := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer server.Close()
	defer close(block)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTired)
	_, err := Checker{}.Read(ctx, []string{server.URL})
	if err == nil || !strings.Contains(err.Error(), errTired.Error()) {
		t.Errorf("got %v", err)
	}
}

var errTired = http.ErrServerClosed
