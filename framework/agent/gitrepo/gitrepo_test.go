// SPDX-License-Identifier: Apache-2.0

package gitrepo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
)

// program runs git, without the settings of whoever runs the test.
func program(t *testing.T, dir string, words ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org"}, words...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", words, err, out)
	}
}

// commit makes a file and commits it.
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

// TestCheckout is the life of a work tree.
func TestCheckout(t *testing.T) {
	from, dir := newRepository(t), filepath.Join(t.TempDir(), "site")
	g := config.Git{URL: config.Text{Text: "file://" + from}, Path: config.Text{Text: "/opt/site"}}
	step := func(when string, change bool, a string) {
		t.Helper()
		changed, err := Checkout(t.Context(), g, dir)
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
		}, `/opt/site is a work tree of ["/other"]`},
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
			changed, err := Checkout(t.Context(), c.git, dir)
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
