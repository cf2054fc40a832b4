// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package rpm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/rpmrepo"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// fakeToolbox is empty.
type fakeToolbox struct{}

func (fakeToolbox) Resolve(context.Context, string) (*packages.Set, error) {
	return &packages.Set{Facts: packages.Facts{Snapshots: map[string]time.Time{}}}, nil
}

func (fakeToolbox) Locked(string, packages.Facts, string) (*packages.Set, error) {
	return &packages.Set{}, nil
}

// fakeSolver chooses for each name the package of this name, and no other. The real solvers
// are tested in package toolbox.
type fakeSolver struct{}

func (f fakeSolver) Solve(_ context.Context, _ []inputs.Source, r Request, _ []inputs.File) (*Answer, error) {
	a := &Answer{}
	for _, j := range r.Jobs {
		s := Solved{ID: j.ID}
		for _, name := range j.Names {
			s.Packages = append(s.Packages, Chosen{r.Repositories[0], name + "-1-1.noarch"})
		}
		a.Jobs = append(a.Jobs, s)
	}
	return a, nil
}

// A world is a signed repository and a flavor for it.
type world struct {
	*testing.T
	key    *rpmrepo.Key
	dir    string // of the flavor
	repo   string
	family *Packages
}

const flavorText = `name: edge
title: Edge
family: dnf
id: edge
release: "9"
base:
  archive:
    keyring: edge.pgp
    keys: [%s]
    repositories:
      - id: main
        url: file://%s/{arch}
        metadata: %s
    database: sqlite
    base_packages: [base]
packages: [app]
tools: [tool]
models:
  generic: {kernel: [kernel], cmdline: quiet}
boot:
  amd64: {packages: [shim], shim: /shim, mok_manager: /mok, grub: /grub, grub_dir: edge, efi_arch: x64}
`

// newSigned makes a signed repository.
func newSigned(t *testing.T) (*rpmrepo.Key, string) {
	t.Helper()
	key, repo := rpmrepo.NewKey(t), filepath.Join(t.TempDir(), "x86_64")
	var all []rpmrepo.Package
	for _, name := range []string{"base", "app", "tool", "kernel", "shim"} {
		all = append(all, rpmrepo.Package{Name: name, Files: map[string]string{"/usr/share/" + name: name}})
	}
	all = append(all, rpmrepo.Package{Name: "kernel", Version: "1.10"}, rpmrepo.Package{Name: "kernel", Version: "1.9", Release: "200"})
	key.Repository(t, repo, all...)
	return key, repo
}

// newWorld has a copy of a repository of its own.
func newWorld(t *testing.T, key *rpmrepo.Key, signed string) *world {
	t.Helper()
	w := &world{T: t, key: key, dir: t.TempDir(), repo: filepath.Join(t.TempDir(), "repo", "x86_64")}
	if err := os.CopyFS(w.repo, os.DirFS(signed)); err != nil {
		t.Fatal(err)
	}
	w.write(w.key, "signed")
	w.family = w.newFamily()
	return w
}

func (w *world) newFamily() *Packages {
	return New(Options{
		Family: "dnf", Cache: w.TempDir(), Solver: fakeSolver{}, Toolbox: fakeToolbox{},
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
}

// write writes the flavor, with a key that may sign.
func (w *world) write(key *rpmrepo.Key, metadata string) {
	w.Helper()
	text := fmt.Sprintf(flavorText, key.Fingerprint, filepath.Dir(w.repo), metadata)
	if err := os.WriteFile(filepath.Join(w.dir, "flavor.yaml"), []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "edge.pgp"), key.Public(w), 0o644); err != nil {
		w.Fatal(err)
	}
}

func (w *world) choice() recipes.Choice {
	w.Helper()
	f, err := flavors.Open(w.dir)
	if err != nil {
		w.Fatal(err)
	}
	c, err := recipes.Choose(f, recipes.Options{})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// inputs makes all inputs of a set, and returns their bytes.
func (w *world) inputs(s *packages.Set) (map[string][]byte, error) {
	made := map[string][]byte{}
	for _, in := range s.Inputs {
		var out bytes.Buffer
		if err := in.Write(w.Context(), &out, func(int64, int64) {}); err != nil {
			return nil, err
		}
		made[in.Name] = out.Bytes()
	}
	return made, nil
}

// TestResolveAndLock: a set and what a lock keeps of it give the same bytes, and the lock
// reads no list of packages.
func TestResolveAndLock(t *testing.T) {
	key, repo := newSigned(t)
	w := newWorld(t, key, repo)
	set, err := w.family.Resolve(t.Context(), w.choice())
	if err != nil {
		t.Fatal(err)
	}
	first, err := w.inputs(set)
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, l := range set.Lists {
		for _, p := range l.Packages {
			listed = append(listed, l.Input+" "+p.Name+" "+p.Version)
		}
	}
	want := []string{"base base 1-1", "packages app 1-1", "tools tool 1-1", "kernel kernel 1.10-1", "bootloader shim 1-1"}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if err := os.RemoveAll(filepath.Join(w.repo, "repodata")); err != nil {
		t.Fatal(err)
	}
	locked, err := w.newFamily().Locked(w.choice(), set.Facts, "lock.yaml")
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.inputs(locked)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error("the lock gives other bytes")
	}
}

// TestRefused: each fault of a repository, with what a person is told.
func TestRefused(t *testing.T) {
	key, repo := newSigned(t)
	other := rpmrepo.NewKey(t)
	for _, tt := range []struct {
		name  string
		spoil func(*world)
		want  string
	}{
		{"another key", func(w *world) { w.write(other, "signed") }, "no signature is good: the one by key "},
		{"no signature", func(w *world) { w.remove("repodata/repomd.xml.asc") }, "repomd.xml: it is not signed: there is no repomd.xml.asc; a flavor whose publisher signs only the packages says `metadata: unsigned`"},
		{"a changed list", func(w *world) { w.change("repodata/repomd.xml", "<revision>", "<revision>1") }, "no signature is good: "},
		{"a missing list", func(w *world) { w.remove("repodata/*-primary.xml*") }, "repomd.xml names it, and the mirror has no such file: the mirror is in the middle of an update"},
		{"another list", func(w *world) { w.truncate("repodata/*-primary.xml*") }, "is truncated: has 10 bytes, the signed repomd.xml says "},
		{"an altered package", func(w *world) { w.flip("app-1-1.noarch.rpm") }, "app-1-1.noarch.rpm: sha256 is "},
		{"a package of another key", func(w *world) { w.resign(other, true) }, "package app-1-1.noarch.rpm: its signature is not good: "},
		{"a package without signature", func(w *world) { w.resign(other, false) }, "package app-1-1.noarch.rpm: it is not signed: want a signature by a key of the flavor"},
		{"no such package", func(w *world) {
			w.edit("packages: [app]", "packages: [apq]")
		}, `flavor.yaml:16:12: packages: package "apq" is not in the repositories (main): did you mean "app"?`},
		{"no such base package", func(w *world) {
			w.edit("base_packages: [base]", "base_packages: [bas]")
		}, `flavor.yaml:15:21: base: package "bas" is not in the repositories (main): did you mean "base"?`},
		{"a mirror of no repository", func(w *world) { w.family.Mirrors = []string{"baseos=http://mirror.example"} }, "the flavor edge has no repository baseos=, only main"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, key, repo)
			tt.spoil(w)
			set, err := w.family.Resolve(t.Context(), w.choice())
			if err == nil {
				_, err = w.inputs(set)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestUnsignedMetadata: where the publisher signs only packages, their signatures count.
func TestUnsignedMetadata(t *testing.T) {
	key, repo := newSigned(t)
	w := newWorld(t, key, repo)
	w.write(w.key, "unsigned")
	w.remove("repodata/repomd.xml.asc")
	set, err := w.family.Resolve(t.Context(), w.choice())
	if err == nil {
		_, err = w.inputs(set)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Indexes[0].Key; !strings.HasPrefix(got, "unsigned; ") {
		t.Errorf("the index says that it is signed by %q", got)
	}
}

// TestLockedPackageIsGone: the error is one that the factory knows.
func TestLockedPackageIsGone(t *testing.T) {
	key, repo := newSigned(t)
	w := newWorld(t, key, repo)
	set, err := w.family.Resolve(t.Context(), w.choice())
	if err != nil {
		t.Fatal(err)
	}
	w.remove("app-1-1.noarch.rpm")
	locked, err := w.newFamily().Locked(w.choice(), set.Facts, "lock.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.inputs(locked); err == nil || !strings.Contains(err.Error(), "package app 1-1 (lock.yaml) is gone") {
		t.Errorf("got %v", err)
	}
}

func (w *world) file(pattern string) string {
	w.Helper()
	found, err := filepath.Glob(filepath.Join(w.repo, pattern))
	if err != nil || len(found) != 1 {
		w.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

func (w *world) remove(pattern string) {
	if err := os.Remove(w.file(pattern)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) truncate(pattern string) {
	if err := os.Truncate(w.file(pattern), 10); err != nil {
		w.Fatal(err)
	}
}

func (w *world) change(pattern, from, to string) {
	file := w.file(pattern)
	data, err := os.ReadFile(file)
	if err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(data, []byte(from), []byte(to), 1), 0o644); err != nil {
		w.Fatal(err)
	}
}

// flip changes the last byte of a file.
func (w *world) flip(pattern string) {
	f, err := os.OpenFile(w.file(pattern), os.O_RDWR, 0)
	if err != nil {
		w.Fatal(err)
	}
	defer f.Close()
	last := make([]byte, 1)
	end, err := f.Seek(-1, io.SeekEnd)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := f.ReadAt(last, end); err != nil {
		w.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{last[0] ^ 1}, end); err != nil {
		w.Fatal(err)
	}
}

// resign replaces the package app by one with the signature of another key, or with none, in
// a list that is signed well.
func (w *world) resign(other *rpmrepo.Key, signed bool) {
	w.remove("app-1-1.noarch.rpm")
	app := rpmrepo.Package{Name: "app", Files: map[string]string{"/usr/share/app": "other"}, Unsigned: !signed}
	other.Repository(w, w.repo, app)
	w.key.Index(w, w.repo)
}

// edit changes the flavor.
func (w *world) edit(from, to string) {
	file := filepath.Join(w.dir, "flavor.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		w.Fatal(err)
	}
	if !strings.Contains(string(data), from) {
		w.Fatalf("the flavor has no %q", from)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), from, to, 1)), 0o644); err != nil {
		w.Fatal(err)
	}
}
