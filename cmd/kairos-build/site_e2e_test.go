// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/site"
	"github.com/kairos-build/kairos-build/framework/source"
)

// TestSite begins a folder as `kairos-build init` does, and builds it from two copies with
// other modes and times: the same bytes. A changed file makes a small upgrade.
func TestSite(t *testing.T) {
	w := &world{t: t}
	dir := filepath.Join(t.TempDir(), "mysite")
	if _, err := site.Begin(dir, "debian-13", "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	first := w.produce(filepath.Join(out, "first"), "flavor", dir)
	copied := filepath.Join(t.TempDir(), "mysite")
	copySite(t, dir, copied)
	if diff := cmp.Diff(identity(first), identity(w.produce(filepath.Join(out, "copied"), "flavor", copied))); diff != "" {
		t.Errorf("another clone gives another image (-first +copied):\n%s", diff)
	}
	same(t, filepath.Join(out, "first", "sbom.cdx.json"), filepath.Join(out, "copied", "sbom.cdx.json"))
	wantSite(t, filepath.Join(out, "first", "image"))

	if err := os.WriteFile(filepath.Join(dir, "files/etc/motd"), []byte("another\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	changed := w.produce(filepath.Join(out, "changed"), "flavor", dir)
	var more int64
	for _, l := range changed.Image.Layers {
		if !slices.ContainsFunc(first.Image.Layers, func(o factory.Layer) bool { return o.Digest == l.Digest }) {
			more += l.Size
		}
	}
	if more == 0 || more > 64<<10 {
		t.Errorf("an upgrade that changes one file downloads %d bytes of layers", more)
	}
	t.Logf("a changed file is an upgrade of %d bytes", more)
}

// TestSiteRefused reads the errors that only a build can find.
func TestSiteRefused(t *testing.T) {
	w := &world{t: t}
	for _, tt := range []struct{ name, keys, link, want string }{
		{"a package that does not exist", "packages:\n  add:\n    - htpo\n", "", `flavor.yaml:5:7: site-packages: package "htpo" is not in the archive (trixie, trixie-updates, trixie-security): did you mean "htop"?`},
		{"a package that is needed", "packages: {remove: [systemd]}\n", "", `packages.remove: "systemd" is in the image still`},
		{"a command that fails", "run: [\"true\", \"ls /nowhere\"]\n", "", `command 2 of run ("ls /nowhere")`},
		{"a command that harms", "run: [rm /usr/bin/kairos-agent]\n", "", "files or commands changed /usr/bin/kairos-agent, which a node needs as it was"},
		{"a link to nothing", "", "/usr/bin/nowhere", "the link /etc/link leads to /usr/bin/nowhere, which the image does not have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "bad")
			if err := os.MkdirAll(filepath.Join(dir, "files/etc"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "flavor.yaml"), []byte("name: bad\nextends: debian-13\n"+tt.keys), 0o644); err != nil {
				t.Fatal(err)
			}
			if tt.link != "" {
				if err := os.Symlink(tt.link, filepath.Join(dir, "files/etc/link")); err != nil {
					t.Fatal(err)
				}
			}
			out := filepath.Join(t.TempDir(), "out")
			text, err := w.command(t.Context(), "flavor", dir, "-o", out, "--artifact", "image", "--progress", "plain").CombinedOutput()
			if err == nil || !strings.Contains(string(text), tt.want) {
				t.Errorf("got %v\n%s\nwant %s", err, text, tt.want)
			}
			if _, err := os.Stat(filepath.Join(out, "build.json")); err == nil {
				t.Error("a refused build left a build.json")
			}
		})
	}
}

// copySite copies a folder as somebody with another umask clones it, at another time.
func copySite(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o775)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, rel), data, 0o664); err != nil {
			return err
		}
		if err := os.Chmod(filepath.Join(to, rel), 0o664); err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(to, rel), time.Unix(1, 0), time.Unix(1, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wantSite looks for what the folder adds.
func wantSite(t *testing.T, dir string) {
	t.Helper()
	image, err := source.Open(t.Context(), dir, source.Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := source.Files(image, "etc/motd", "etc/mysite-release", "var/lib/dpkg/status")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(files["etc/motd"]) + string(files["etc/mysite-release"]); got != "Welcome to mysite.\nmade by mysite\n" {
		t.Errorf("the files have %q", got)
	}
	if !strings.Contains(string(files["var/lib/dpkg/status"]), "Package: htop\nStatus: install ok installed\n") {
		t.Error("htop is not installed")
	}
}
