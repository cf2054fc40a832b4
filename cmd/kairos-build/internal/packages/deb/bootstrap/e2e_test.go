// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package bootstrap_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/bootstrap"
)

// TestDebian bootstraps real Debian releases from the mirror that the host
// uses, configures them with their own dpkg, and compares the result with the
// root that mmdebstrap makes from the same packages. It needs root, the network,
// tar and mmdebstrap.
func TestDebian(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root: chroot and device nodes")
	}
	suites := []string{"trixie", "bookworm"}
	if testing.Short() {
		suites = suites[:1]
	}
	for _, suite := range suites {
		t.Run(suite, func(t *testing.T) {
			sources, packages := fetchBase(t, suite)
			root, reference := filepath.Join(t.TempDir(), "root"), filepath.Join(t.TempDir(), "reference")
			unpack(t, packages, root)
			configure(t, root)
			makeReference(t, sources, reference)
			if d := cmp.Diff(read(t, reference, "var/lib/dpkg/status"), read(t, root, "var/lib/dpkg/status")); d != "" {
				t.Errorf("dpkg's status differs from mmdebstrap's: %s", d)
			}
			if d := cmp.Diff(tree(t, reference), tree(t, root)); d != "" {
				t.Errorf("the tree differs from mmdebstrap's: %s", d)
			}
		})
	}
}

func fetchBase(t *testing.T, suite string) ([]archive.Source, []bootstrap.Package) {
	t.Helper()
	keys, err := os.ReadFile("../../../../../../flavors/keys/debian-archive.pgp")
	if err != nil {
		t.Fatal(err)
	}
	m, err := archive.ChooseMirrors(archive.MirrorOptions{
		Env: os.Getenv(archive.EnvMirror), Host: os.DirFS("/"), Distribution: "debian", Default: archive.Mirrors{
			Main: archive.Mirror{URL: "http://ftp.debian.org/debian"}, Security: archive.Mirror{URL: "http://security.debian.org/debian-security"},
		}})
	if err != nil {
		t.Fatal(err)
	}
	sources := []archive.Source{
		{Mirror: m.Main.URL, Suite: suite},
		{Mirror: m.Main.URL, Suite: suite + "-updates"},
		{Mirror: m.Security.URL, Suite: suite + "-security"},
	}
	begin := time.Now()
	a, err := archive.Open(t.Context(), archive.Options{Sources: sources, Arch: "amd64", Keyring: keys, Cache: t.TempDir(), Now: begin})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %s: %s", time.Since(begin), m.Main.URL)
	sel, err := a.Resolve(archive.Request{Base: []string{"apt"}})
	if err != nil {
		t.Fatal(err)
	}
	paths, err := a.Fetch(t.Context(), sel.Base, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d packages there after %s", len(paths), time.Since(begin))
	var out []bootstrap.Package
	for i, p := range sel.Base {
		out = append(out, bootstrap.Package{Path: paths[i], Name: p.Name, Version: p.Version, Arch: p.Arch, SHA256: p.SHA256})
	}
	return sources, out
}

func unpack(t *testing.T, packages []bootstrap.Package, root string) {
	t.Helper()
	layer := filepath.Join(t.TempDir(), "layer.tar")
	f, err := os.Create(layer)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	begin := time.Now()
	err = bootstrap.Write(t.Context(), w, packages, bootstrap.Options{Epoch: begin, UsrMerge: true})
	if err := errors.Join(err, w.Flush(), f.Close(), os.Mkdir(root, 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Logf("unpacked in %s", time.Since(begin))
	run(t, exec.Command("tar", "-xpf", layer, "--numeric-owner", "-C", root))
}

// configure makes the devices that scripts use, and runs dpkg once.
func configure(t *testing.T, root string) {
	t.Helper()
	for name, dev := range map[string]uint64{"null": unix.Mkdev(1, 3), "zero": unix.Mkdev(1, 5), "random": unix.Mkdev(1, 8), "urandom": unix.Mkdev(1, 9)} {
		file := filepath.Join(root, "dev", name)
		if err := errors.Join(unix.Mknod(file, unix.S_IFCHR|0o666, int(dev)), os.Chmod(file, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	inside(t, root, "dpkg", "--configure", "-a")
	t.Logf("configured in %s", time.Since(begin))
	if out := inside(t, root, "dpkg", "--audit"); out != "" {
		t.Errorf("dpkg --audit: %s", out)
	}
	inside(t, root, "apt-get", "check")
}

func inside(t *testing.T, root string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(filepath.Join(root, "usr/bin", args[0]))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(strings.TrimPrefix(path, root), args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "HOME=/root"}
	return run(t, cmd)
}

func makeReference(t *testing.T, sources []archive.Source, dir string) {
	t.Helper()
	args := []string{"--quiet", "--variant=required", "--mode=root", "--include=apt", sources[0].Suite, dir}
	for _, s := range sources {
		args = append(args, "deb "+s.Mirror+" "+s.Suite+" main")
	}
	run(t, exec.Command("mmdebstrap", args...))
}

func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// explained are the paths in which the two roots may differ: files that mmdebstrap
// adds to every root, traces of apt, logs, caches, lists in the order of configuring,
// and debconf's records of questions that preinst scripts would ask on upgrades
// (libpam-modules, libc6).
func explained() []string {
	return []string{
		"dev", "etc/apt/sources.list", "etc/fstab", "etc/hostname", "etc/resolv.conf", "etc/shells",
		"var/cache/apt", "var/cache/debconf", "var/cache/ldconfig", "var/lib/apt", "var/log",
		"var/lib/dpkg/arch", "var/lib/dpkg/diversions", "var/lib/dpkg/diversions-old", "var/lib/dpkg/status-old",
	}
}

// tree maps the paths of a root to mode, owner, link target and contents.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if !slices.Contains(explained(), rel) {
			out[rel], err = describe(path)
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	s := info.Sys().(*syscall.Stat_t)
	text := fmt.Sprintf("%s %d:%d ", info.Mode(), s.Uid, s.Gid)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(path)
		return text + link, err
	case info.Mode().IsRegular():
		raw, err := os.ReadFile(path)
		return text + string(raw), err
	}
	return text, nil
}
