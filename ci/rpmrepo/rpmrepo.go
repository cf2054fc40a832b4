// SPDX-License-Identifier: Apache-2.0

// Package rpmrepo makes signed repositories of rpm packages for tests, with the real
// rpmbuild, rpmsign, createrepo_c and gpg (`ci/setup/install test`).
package rpmrepo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A Package is what a package of a test is made from. Empty fields have defaults.
type Package struct {
	Name             string
	Version, Release string // default 1
	Epoch            string
	Arch             string            // default noarch; else that of this machine
	Tags             []string          // lines of the preamble, such as "Requires: bash"
	Files            map[string]string // contents by absolute paths
	Copies           map[string]string // files of this machine, by absolute paths in the package
	Links            map[string]string // targets by absolute paths
	Dirs             []string          // absolute paths
	Sections         string            // such as %post with its lines
	Unsigned         bool
}

// A Key signs packages and repositories.
type Key struct {
	home        string // of gpg
	Fingerprint string // 40 hex digits, capitals
}

// signer is the user ID of every key.
const signer = "Test Signing <test@example.org>"

// NewKey makes a key.
func NewKey(t testing.TB) *Key {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg") //nolint:usetesting // the path of gpg's socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	k := &Key{home: home}
	t.Cleanup(func() {
		if _, err := k.try("gpgconf", "--kill", "all"); err != nil {
			t.Error(err) // an agent of gpg would live on
		}
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	k.run(t, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", signer, "rsa2048", "sign", "never")
	for line := range strings.Lines(string(k.run(t, "gpg", "--list-keys", "--with-colons"))) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" && k.Fingerprint == "" {
			k.Fingerprint = fields[9]
		}
	}
	return k
}

// Public is the public key, binary.
func (k *Key) Public(t testing.TB) []byte {
	t.Helper()
	return k.run(t, "gpg", "--export")
}

// Repository writes a signed repository to dir: the packages, and the list of them.
func (k *Key) Repository(t testing.TB, dir string, packages ...Package) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		k.build(t, dir, p)
	}
	k.Index(t, dir)
}

// Index makes the list of the packages in dir, and signs it.
func (k *Key) Index(t testing.TB, dir string) {
	t.Helper()
	k.run(t, "createrepo_c", "--quiet", dir)
	k.Sign(t, dir)
}

// Sign signs the list of packages as it is.
func (k *Key) Sign(t testing.TB, dir string) {
	t.Helper()
	k.run(t, "gpg", "--batch", "--quiet", "--yes", "--armor", "--detach-sign", filepath.Join(dir, "repodata/repomd.xml"))
}

// build makes a package and signs it.
func (k *Key) build(t testing.TB, dir string, p Package) {
	t.Helper()
	work := t.TempDir()
	tree, spec := filepath.Join(work, "tree"), filepath.Join(work, p.Name+".spec")
	if err := errors.Join(p.write(tree), os.WriteFile(spec, p.spec(tree), 0o644)); err != nil {
		t.Fatal(err)
	}
	k.run(t, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+work, "--define", "_rpmdir "+dir, "--define", "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
		"--define", "_build_id_links none", "--define", "debug_package %{nil}", "--define", "__spec_install_post %{nil}", "--define", "_binary_payload w1.gzdio", spec)
	made, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%s-%s-%s.*.rpm", p.Name, or(p.Version), or(p.Release))))
	if err != nil || len(made) != 1 {
		t.Fatalf("rpmbuild made %v of %s: %v", made, p.Name, err)
	}
	if p.Unsigned {
		return
	}
	k.run(t, "rpmsign", "--addsign", "--define", "__gpg "+where(t, "gpg"), "--define", "_gpg_name "+signer, made[0])
}

func or(s string) string {
	if s == "" {
		return "1"
	}
	return s
}

// write makes the files of the package.
func (p Package) write(tree string) error {
	errs := []error{os.MkdirAll(tree, 0o755)}
	add := func(path string, write func(string) error) {
		full := filepath.Join(tree, path)
		errs = append(errs, os.MkdirAll(filepath.Dir(full), 0o755), write(full))
	}
	for path, text := range p.Files {
		add(path, func(to string) error { return os.WriteFile(to, []byte(text), 0o755) }) //nolint:gosec // some are programs
	}
	for path, from := range p.Copies {
		add(path, func(to string) error { return copyFile(from, to) })
	}
	for path, target := range p.Links {
		add(path, func(to string) error { return os.Symlink(target, to) })
	}
	for _, path := range p.Dirs {
		add(path, func(to string) error { return os.MkdirAll(to, 0o755) })
	}
	return errors.Join(errs...)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755) //nolint:gosec // some are programs
}

// spec is the file that rpmbuild reads.
func (p Package) spec(tree string) []byte {
	var text bytes.Buffer
	lines := []string{"Name: " + p.Name, "Version: " + or(p.Version), "Release: " + or(p.Release), "Summary: test", "License: none", "AutoReqProv: no"}
	if p.Epoch != "" {
		lines = append(lines, "Epoch: "+p.Epoch)
	}
	if p.Arch == "" {
		lines = append(lines, "BuildArch: noarch")
	}
	lines = append(append(lines, p.Tags...), "%description", "test", "%install", "cp -a "+tree+"/. %{buildroot}", p.Sections, "%files")
	var paths []string
	for _, some := range []map[string]string{p.Files, p.Copies, p.Links} {
		for path := range some {
			paths = append(paths, path)
		}
	}
	for _, dir := range p.Dirs {
		paths = append(paths, "%dir "+dir)
	}
	slices.Sort(paths)
	text.WriteString(strings.Join(append(lines, paths...), "\n") + "\n")
	return text.Bytes()
}

func (k *Key) run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	out, err := k.try(where(t, name), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try runs a program with the keys of k.
func (k *Key) try(name string, args ...string) ([]byte, error) {
	var said bytes.Buffer
	cmd := exec.Command(name, args...) //nolint:forbidigo // a test's helper: the test has a time limit
	cmd.Env, cmd.Stderr = append(os.Environ(), "GNUPGHOME="+k.home, "SOURCE_DATE_EPOCH=1700000000"), &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, said.String())
	}
	return out, nil
}

// where is the path of a program.
func where(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: `ci/setup/install test` installs what tests need", err)
	}
	return path
}
