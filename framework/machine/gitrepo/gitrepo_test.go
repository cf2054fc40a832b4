// SPDX-License-Identifier: Apache-2.0

package gitrepo

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// program runs git, without the configuration of the user who runs the test.
func program(t *testing.T, dir string, words ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org"}, words...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", words, err, out)
	}
}

// commit writes a file and commits it.
func commit(t *testing.T, dir, name, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	program(t, dir, "add", name)
	program(t, dir, "commit", "-q", "-m", name)
}

func newRepository(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("SKIPPED: a repository in a folder is read by git, which is not installed")
	}
	dir := t.TempDir()
	program(t, dir, "init", "-q", "-b", "main")
	commit(t, dir, "a", "1")
	program(t, dir, "checkout", "-q", "-b", "other")
	commit(t, dir, "a", "other")
	program(t, dir, "checkout", "-q", "main")
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// checkout is Checkout with a host path.
func checkout(t *testing.T, g config.Git, dir string) (changed bool, err error) {
	t.Helper()
	parent, name, err := tree.Root{Dir: filepath.Dir(dir), KeepOwner: true}.Parent("/" + filepath.Base(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	return Checkout(t.Context(), g, parent, name)
}

// TestCheckout goes through the life of a work tree.
func TestCheckout(t *testing.T) {
	from, dir := newRepository(t), filepath.Join(t.TempDir(), "site")
	g := config.Git{URL: config.Text{Text: "file://" + from}, Path: config.Text{Text: "/opt/site"}}
	step := func(when string, change bool, a string) {
		t.Helper()
		changed, err := checkout(t, g, dir)
		if err != nil || changed != change {
			t.Fatalf("%s: changed %v, %v", when, changed, err)
		}
		if got := read(t, filepath.Join(dir, "a")); got != a {
			t.Errorf("%s: content %q, want %q", when, got, a)
		}
	}
	step("first", true, "1")
	step("again", false, "1")
	commit(t, from, "a", "2")
	commit(t, from, "gone", "x")
	step("the branch moved", true, "2")
	program(t, from, "rm", "-q", "gone")
	program(t, from, "commit", "-q", "--amend", "--allow-empty", "-m", "rewritten")
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	step("the branch was rewritten", true, "2")
	if _, err := os.Stat(filepath.Join(dir, "gone")); err == nil {
		t.Error("a file that the branch has not any more stays")
	}
	if read(t, filepath.Join(dir, "mine")) != "x" {
		t.Error("a file of somebody else changed")
	}
	g.Branch, g.BranchOnly = config.Text{Text: "other"}, true
	step("another branch", true, "other")
	step("another branch again", false, "other")
}

func TestRefused(t *testing.T) {
	from := newRepository(t)
	for _, c := range []struct {
		name string
		git  config.Git
		make func(dir string)
		want string
	}{
		{"no repository", config.Git{URL: config.Text{Text: "file://" + from + "/none"}}, nil, "cloning file://"},
		{"no branch", config.Git{URL: config.Text{Text: "file://" + from}, Branch: config.Text{Text: "none"}}, nil, "reference not found"},
		{"files", config.Git{URL: config.Text{Text: "file://" + from}}, func(dir string) { write(t, dir, "x") }, "/opt/site holds files and is no repository"},
		{"another repository", config.Git{URL: config.Text{Text: "file://" + from}}, func(dir string) {
			write(t, dir, "x")
			program(t, dir, "init", "-q")
			program(t, dir, "remote", "add", "origin", "/other")
		}, "/opt/site is a work tree of another repository (/other)"},
		{"SSH without a key", config.Git{URL: config.Text{Text: "ssh://git@example.org/x.git"}}, nil, "needs auth.private_key or auth.password"},
		{"a private key that is none", config.Git{URL: config.Text{Text: "git@example.org:x.git"}, Auth: config.GitAuth{PrivateKey: "geheim", Insecure: true}}, nil, "reading auth.private_key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "site")
			c.git.Path = config.Text{Text: "/opt/site"}
			if c.make != nil {
				c.make(dir)
			}
			changed, err := checkout(t, c.git, dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%v, %v, want %q", changed, err, c.want)
			}
			if entries, _ := os.ReadDir(parent); len(entries) > 1 || c.make == nil && len(entries) > 0 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

func write(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWorkTreeOfAUser: a user's repository is refused; it could send the credentials
// elsewhere.
func TestWorkTreeOfAUser(t *testing.T) {
	from, dir := newRepository(t), t.TempDir()
	g := config.Git{URL: config.Text{Text: "file://" + from}, Path: config.Text{Text: "/site"}}
	if _, err := checkout(t, g, filepath.Join(dir, "site")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"site", "site/.git"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		ledger := tree.Ledger{info.Sys().(*syscall.Stat_t).Ino: {Mode: info.Mode(), UID: 1234, GID: 1234}}
		parent, err := tree.Root{Dir: dir, KeepOwner: true, Ledger: ledger}.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		if changed, err := Checkout(t.Context(), g, parent, "site"); changed || err == nil || !strings.Contains(err.Error(), "the repository in /site belongs to user 1234") {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
		parent.Close()
	}
}

// TestLinksInTheWorkTree: a user who owns a directory of the work tree can lead
// Checkout to no file outside, and cannot block it.
func TestLinksInTheWorkTree(t *testing.T) {
	from, parent := newRepository(t), t.TempDir()
	g := config.Git{URL: config.Text{Text: "file://" + from}, Path: config.Text{Text: "/site"}}
	if err := os.Mkdir(filepath.Join(from, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	commit(t, from, "data/file", "1")
	commit(t, from, "data/pipe", "1")
	dir := filepath.Join(parent, "site")
	if _, err := checkout(t, g, dir); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	write(t, outside, "file")
	commit(t, from, "data/file", "2")
	commit(t, from, "data/pipe", "2")
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "data")), os.Symlink(outside, filepath.Join(dir, "data"))); err != nil {
		t.Fatal(err)
	}
	if changed, err := checkout(t, g, dir); err == nil {
		t.Errorf("a link in the place of a directory: changed %v", changed)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "data")), os.Mkdir(filepath.Join(dir, "data"), 0o755),
		os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, "data/file")), unix.Mkfifo(filepath.Join(dir, "data/pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	commit(t, from, "data/file", "3")
	done := make(chan error, 1)
	go func() { _, err := checkout(t, g, dir); done <- err }()
	select {
	case err := <-done:
		t.Log(err)
	case <-time.After(20 * time.Second):
		t.Fatal("waits for a pipe")
	}
	if got := read(t, filepath.Join(outside, "file")); got != "" {
		t.Errorf("written outside of the work tree: %q", got)
	}
}

// TestDowngrade: a redirect from HTTPS to HTTP is refused, and the error has no
// secret of the URL.
func TestDowngrade(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/site.git?token=geheim", http.StatusFound)
	}))
	defer server.Close()
	address := strings.Replace(server.URL, "https://", "https://ada:geheim@", 1) + "/glpat-geheim/site.git"
	g := config.Git{URL: config.Text{Text: address}, Path: config.Text{Text: "/opt/site"}, Auth: config.GitAuth{Insecure: true}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	parent, err := tree.Root{Dir: t.TempDir(), KeepOwner: true}.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	_, err = Checkout(ctx, g, parent, "site")
	if err == nil || !strings.Contains(err.Error(), "redirected from https to http") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v", err)
	}
}
