// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func link(t *testing.T, root, path, target string) {
	t.Helper()
	put(t, root, filepath.Join(filepath.Dir(path), ".keep"), "")
	if err := os.Symlink(target, filepath.Join(root, path)); err != nil {
		t.Fatal(err)
	}
}

// TestCopyTree: files replace files and links, and folders that are there stay.
func TestCopyTree(t *testing.T) {
	from, root := t.TempDir(), t.TempDir()
	put(t, root, "etc/motd", "old")
	link(t, root, "etc/localtime", "/usr/share/zoneinfo/UTC")
	if err := os.Chmod(filepath.Join(root, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, from, "etc/motd", "new")
	put(t, from, "etc/localtime", "zone")
	put(t, from, "opt/site/data", "x")
	link(t, from, "usr/bin/tool", "../lib/tool")
	if err := os.Chmod(put(t, from, "usr/lib/tool", "program"), fs.ModeSetuid|0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(from, root); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"etc/motd": "new", "etc/localtime": "zone", "opt/site/data": "x", "usr/bin/tool": "program"} {
		if data, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(data) != want {
			t.Errorf("%s has %q, %v; want %q", path, data, err, want)
		}
	}
	for path, want := range map[string]fs.FileMode{"etc": fs.ModeDir | 0o700, "opt/site": fs.ModeDir | 0o755, "usr/lib/tool": fs.ModeSetuid | 0o755} {
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Mode() != want {
			t.Errorf("%s has the mode %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

// TestCopyTreeRefuses names every path that cannot be there, and leaves the image's links.
func TestCopyTreeRefuses(t *testing.T) {
	from, root := t.TempDir(), t.TempDir()
	link(t, root, "lib", "usr/lib")
	put(t, root, "usr/lib/a", "x")
	put(t, root, "etc/file", "x")
	put(t, from, "lib/tool", "x")
	put(t, from, "usr/lib", "x")
	put(t, from, "etc/file/below", "x")
	put(t, from, "etc/ssh/ssh_host_rsa_key", "x")
	put(t, from, "var/lib/apt/lists/partial/x", "x")
	err := copyTree(from, root)
	for _, want := range []string{
		"files: /lib is a link to usr/lib in the image",
		"files: /usr/lib is a folder in the image, and cannot be replaced",
		"files: /etc/file is a file in the image, and cannot be a folder",
		"files: /etc/ssh/ssh_host_rsa_key is removed from every image, as are caches, logs, keys",
		"files: /var/lib/apt/lists/partial is removed from every image",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if target, err := os.Readlink(filepath.Join(root, "lib")); target != "usr/lib" {
		t.Errorf("/lib is no link any more: %q, %v", target, err)
	}
}

// TestCheckLinks: the target of a link is in the image, or is made by a node.
func TestCheckLinks(t *testing.T) {
	from, root := t.TempDir(), t.TempDir()
	put(t, root, "usr/bin/tool", "x")
	for path, target := range map[string]string{
		"usr/bin/a": "tool", "usr/bin/b": "/usr/bin/tool", "etc/c": "../run/site/state", "etc/d": "/usr/local/site.conf",
		"usr/bin/e": "/usr/bin/nowhere", "usr/bin/f": "nowhere",
	} {
		link(t, from, path, target)
	}
	err := checkLinks(from, root)
	if err == nil || strings.Count(err.Error(), "which the image does not have") != 2 {
		t.Fatalf("got %v, want two links", err)
	}
	for _, want := range []string{"/usr/bin/e leads to /usr/bin/nowhere,", "/usr/bin/f leads to nowhere,"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := checkLinks(filepath.Join(from, "none"), root); err != nil {
		t.Errorf("without files: %v", err)
	}
}

// TestUnharmed: a command that changes what the framework needs is an error.
func TestUnharmed(t *testing.T) {
	root := t.TempDir()
	agent, kernel := put(t, root, "usr/bin/kairos-agent", "agent"), put(t, root, "boot/vmlinuz", "kernel")
	before, err := framework(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := unharmed(root, before); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	if err := os.Chmod(agent, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(kernel); err != nil {
		t.Fatal(err)
	}
	put(t, root, "boot/other", "x")
	want := "files or commands changed /boot/vmlinuz, /usr/bin/kairos-agent, which a node needs as it was"
	if err := unharmed(root, before); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{"a\n": "a", "a\nb\n": "a …", "\n a b": "a b"} {
		if got := firstLine(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestRunAllSaysWhichCommand runs the real shell.
func TestRunAllSaysWhichCommand(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	put(t, dir, "0001", "echo one >"+out)
	put(t, dir, "0002", "false\necho two >"+out)
	err := runAll(dir)
	if want := `command 2 of run ("false …")`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if data, err := os.ReadFile(out); err != nil || string(data) != "one\n" {
		t.Errorf("the commands wrote %q, %v", data, err)
	}
}
