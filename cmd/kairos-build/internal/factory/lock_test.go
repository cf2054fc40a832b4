// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/kubernetes"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/lock"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// lockOptions are options to lock the flavor of a world. The mirror has the releases of
// Kubernetes.
func (w *world) lockOptions(t *testing.T, mirror string) LockOptions {
	t.Helper()
	return LockOptions{
		Flavor: w.options.Flavor, File: filepath.Join(t.TempDir(), "locks", "lock.yaml"), Families: w.options.Families, State: w.options.State,
		Arches: []string{"amd64"},
		Now:    time.Date(2026, 11, 29, 1, 13, 0, 0, time.UTC), Progress: w.options.Progress, Log: slog.New(slog.DiscardHandler),
		Find: func(want WantedKubernetes) (Kubernetes, error) {
			return kubernetes.New(kubernetes.Options{
				Distribution: want.Distribution, Wanted: want.Wanted, Airgap: want.Airgap, Mirror: mirror,
				Cache: filepath.Join(w.options.State, "kubernetes"), Log: slog.New(slog.DiscardHandler),
			})
		},
	}
}

// lock writes a lock, which must succeed.
func lockNow(t *testing.T, o LockOptions) *LockResult {
	t.Helper()
	r, err := Lock(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// moveOn gives all packages another version and the archive another date.
func (w *world) moveOn() { w.packages.version, w.packages.epoch = "2", w.packages.epoch.Add(time.Hour) }

// TestBuildsFromALock: with the lock, a build asks no archive, and gives the same image and
// disk on another machine, after the archive has moved on. Without it, both change.
func TestBuildsFromALock(t *testing.T) {
	w := newWorld(t)
	free, _ := w.build(t)
	o := w.lockOptions(t, "")
	made := lockNow(t, o)
	w.moveOn()
	for _, machine := range []string{"this machine", "another machine"} {
		w.options.Dir, w.options.State, w.options.Lock = t.TempDir(), t.TempDir(), o.File
		r, asked := w.build(t)
		want := []string{"check", "locked lock.yaml", "write base", "write packages", "write tools", "write kernel", "write bootloader", "solve"}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("%s asked for (-want +got):\n%s", machine, diff)
		}
		if r.Image.Digest != free.Image.Digest || r.Disks[0].Content != free.Disks[0].Content {
			t.Errorf("%s: the image or the disk is another one than when the lock was made", machine)
		}
		if r.Created != free.Created || r.Created != "2023-11-14T22:13:20Z" {
			t.Errorf("%s: created %s, want the time of the lock %s", machine, r.Created, free.Created)
		}
		if got, want := r.Inputs[0], (Input{Name: "lock debian-13", Digest: made.Digest}); got != want {
			t.Errorf("build.json names %v, want %v", got, want)
		}
		again, asked := w.build(t)
		if !slices.Equal(asked, []string{"check", "locked lock.yaml"}) || again.Steps[len(again.Steps)-1].Name != "nothing changed" {
			t.Errorf("%s: nothing changed, and the build asked for %v", machine, asked)
		}
	}
	w.options.Lock = ""
	if r, _ := w.build(t); r.Image.Digest == free.Image.Digest || r.Created == free.Created {
		t.Error("the archive has moved on, and without the lock the image is the same")
	}
}

// TestAnotherLockIsAnotherResult: build.json names the lock that it was built from.
func TestAnotherLockIsAnotherResult(t *testing.T) {
	w := newWorld(t)
	o := w.lockOptions(t, "")
	lockNow(t, o)
	w.options.Lock = o.File
	first, _ := w.build(t)
	text := string(read(t, o.File))
	if err := os.WriteFile(o.File, []byte(strings.Replace(text, "2026-11-29T01:13:00Z", "2026-11-30T01:13:00Z", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	second, asked := w.build(t)
	if slices.Contains(asked, "solve") || first.Image.Digest != second.Image.Digest || first.Inputs[0] == second.Inputs[0] {
		t.Errorf("the build asked for %v; lock %v, then %v", asked, first.Inputs[0], second.Inputs[0])
	}
}

// TestLocksThatDoNotFit: everything is refused before the engine is asked, in words that
// end with what to type.
func TestLocksThatDoNotFit(t *testing.T) {
	mirror := kubernetesMirror(t, "v1.34.1+k3s1", "v1.35.0+k3s1")
	w := newWorld(t)
	o := w.lockOptions(t, mirror)
	o.Kubernetes = []WantedKubernetes{{Distribution: release.K3s, Wanted: "v1.34.1+k3s1"}}
	lockNow(t, o)
	good := string(read(t, o.File))
	o.File = filepath.Join(t.TempDir(), "no.yaml")
	for _, tt := range []struct {
		name     string
		old, new string // in the lock
		change   func(*world)
		want     string
	}{
		{"no lock", "", "", func(w *world) { w.options.Lock = o.File }, "there is no lock " + o.File + ": `kairos-build lock debian-13 --lock " + o.File + "` makes one"},
		{"damaged", "flavor: debian-13", "flavor: debian-13\nx: 1", nil, "the lock cannot be used:\nLOCK:5:1: x: unknown key"},
		{"another flavor", "flavor: debian-13", "flavor: debian-12", nil, "LOCK is the lock of the flavor debian-12, not of debian-13: name another file with --lock"},
		{"package", "[apt, ca-certificates, conntrack, ", "[apt, conntrack, ", nil, "the lock LOCK does not fit: the flavor has the package of the input packages ca-certificates, the lock has not"},
		{"suite", "suite: trixie-updates", "suite: trixie-backports", nil, "the flavor has the suite trixie-updates, the lock has not; the lock has the suite trixie-backports, the flavor has not"},
		{"architecture", "architecture: amd64\n", "architecture: arm64\n", nil, "the lock has no architecture amd64, only arm64"},
		{"model", "models: [cloud, generic]", "models: [cloud]", func(w *world) { w.options.Model = "edge" }, `flavor debian-13 has no model "edge"`},
		{"another Kubernetes", "", "", func(w *world) { w.wantKubernetes(t, release.K3s, "v1.35", mirror) },
			"LOCK has k3s v1.34.1+k3s1 (asked for as v1.34.1+k3s1), and --k3s v1.35 is asked for: `kairos-build lock --update debian-13 --lock LOCK --k3s v1.35` locks what is asked for"},
		{"the other Kubernetes", "", "", func(w *world) { w.wantKubernetes(t, release.K0s, "v1.34", mirror) },
			"the lock LOCK does not fit: the lock has no k0s: `kairos-build lock --update debian-13 --lock LOCK --k0s v1.34` makes it fit"},
		{"base", "", "", func(w *world) { w.options.Base = baseLayout(t, "ID=debian\nVERSION_ID=13\n") },
			"does not fit: the lock has no image for --base: `kairos-build lock --update debian-13 --lock LOCK --base "},
		{"images", "", "", func(w *world) { w.wantKubernetes(t, release.K3s, "v1.34", mirror, airgap) },
			"LOCK has k3s v1.34.1+k3s1 without its images, and --airgap is asked for: `kairos-build lock --update debian-13 --lock LOCK --k3s v1.34 --airgap` locks what is asked for"},
		{"no lock for a build with Kubernetes", "", "", func(w *world) {
			w.wantKubernetes(t, release.K3s, "v1.34", mirror, airgap)
			w.options.Lock, w.options.Base = o.File, "./base"
		},
			"`kairos-build lock debian-13 --lock " + o.File + " --k3s v1.34 --airgap --base ./base` makes one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.options.Lock = filepath.Join(t.TempDir(), "lock.yaml")
			if err := os.WriteFile(w.options.Lock, []byte(strings.ReplaceAll(good, tt.old, cmpOr(tt.new, tt.old))), 0o644); err != nil {
				t.Fatal(err)
			}
			file := w.options.Lock
			if tt.change != nil {
				tt.change(w)
			}
			_, err := Build(t.Context(), w.options)
			if err == nil || !errors.Is(err, ErrBadInput) || !strings.Contains(strings.ReplaceAll(err.Error(), file, "LOCK"), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if len(w.list) > 0 {
				t.Errorf("the build asked for %v", w.list)
			}
		})
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// TestKubernetesFromALock: the locked release counts while it fits what is asked for, also
// when there is a newer one. Without --k3s the image has none.
func TestKubernetesFromALock(t *testing.T) {
	mirror := kubernetesMirror(t, "v1.34.1+k3s1")
	w := newWorld(t)
	o := w.lockOptions(t, mirror)
	o.Kubernetes = []WantedKubernetes{{Distribution: release.K3s, Wanted: "v1.34.1"}}
	lockNow(t, o)
	l, err := openLock(o.File, "debian-13")
	if err != nil {
		t.Fatal(err)
	}
	k := l.Machine("amd64").Of(release.K3s)
	if k == nil || k.Wanted != "v1.34.1" || k.Version.String() != "v1.34.1+k3s1" || k.Program.Size != int64(len("#!/bin/sh\necho v1.34.1+k3s1\n")) || !strings.HasSuffix(k.Program.URL, "/v1.34.1%2Bk3s1/k3s") {
		t.Errorf("locked %+v", k)
	}
	if !LockHas("debian-13", o.File, release.K3s) || LockHas("debian-13", o.File, release.K0s) || LockHas("debian-13", o.File+"x", release.K3s) {
		t.Error("the lock has k3s alone, and one that is not there has none")
	}
	w.options.Lock = o.File
	for _, wanted := range []string{"v1.34", "v1.34.1", "v1.34.1+k3s1"} {
		w.options.State, w.options.Dir = t.TempDir(), t.TempDir()
		w.wantKubernetes(t, release.K3s, wanted, "")
		r, _ := w.build(t)
		if r.Kubernetes != "v1.34.1+k3s1" || !strings.HasPrefix(r.Inputs[1].Name, "kubernetes v1.34.1+k3s1 k3s") {
			t.Errorf("--k3s %s: got %s and the inputs %v", wanted, r.Kubernetes, r.Inputs)
		}
	}
	w.options.Kubernetes = nil
	if r, _ := w.build(t); r.Kubernetes != "" {
		t.Errorf("without --k3s the image has %s", r.Kubernetes)
	}
}

// TestLockArguments: --lock names a file that is not the flavor's own.
func TestLockArguments(t *testing.T) {
	for _, tt := range []struct{ ref, file, want string }{
		{"debian-13", "flavors/debian-13/lock.yaml", "debian-13"},
		{"debian-13", "./flavors/debian-13/lock.yaml", "debian-13"},
		{"debian-13", "july.yaml", "debian-13 --lock july.yaml"},
		{"./edge.yaml", "edge.lock.yaml", "./edge.yaml"},
		{"./edge/flavor.yaml", "edge/july.yaml", "./edge/flavor.yaml --lock edge/july.yaml"},
	} {
		if got := lockArguments(tt.ref, tt.file); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestLockedAddress: it is without secrets of the address, and can be fetched.
func TestLockedAddress(t *testing.T) {
	for address, want := range map[string]string{
		"https://ada:geheim@host.example/private/k3s/v1.34.1%2Bk3s1/k3s?token=1#x": "https://host.example/private/k3s/v1.34.1%2Bk3s1/k3s",
		"file:///srv/private/k3s": "file:///srv/private/k3s",
	} {
		r := &kubernetes.Release{Program: kubernetes.File{URL: address}, Images: &kubernetes.File{URL: address}}
		if k := releaseToLock(r, "v1.34"); k.Program.URL != want || k.Images.URL != want {
			t.Errorf("got %s and %s, want %s", k.Program.URL, k.Images.URL, want)
		}
	}
}

// TestUpdateAndOutdated: outdated says what update does. An update keeps what was asked
// for, and writes nothing when nothing is new.
func TestUpdateAndOutdated(t *testing.T) {
	mirror := kubernetesMirror(t, "v1.34.1+k3s1")
	w := newWorld(t)
	o := w.lockOptions(t, mirror)
	if _, err := Outdated(t.Context(), o); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "there is no lock") {
		t.Errorf("without a lock: %v", err)
	}
	o.Kubernetes = []WantedKubernetes{{Distribution: release.K3s, Wanted: "v1.34.1"}}
	first := lockNow(t, o)
	if !first.Written || first.Packages < 30 || first.Made != "2026-11-29T01:13:00Z" || len(first.Changes) > 0 {
		t.Errorf("the first lock: %+v", first)
	}
	o.Kubernetes, o.Now = nil, o.Now.Add(time.Hour)
	wantOutdated(t, o, first, nil)
	o.Update = true
	if r := lockNow(t, o); r.Written || r.Digest != first.Digest {
		t.Errorf("nothing is new, and the lock was written: %+v", r)
	}

	w.moveOn()
	newer := strings.TrimPrefix(kubernetesMirror(t, "v1.34.1+k3s2"), "file://")
	if err := os.Rename(filepath.Join(newer, "v1.34.1+k3s2"), filepath.Join(strings.TrimPrefix(mirror, "file://"), "v1.34.1+k3s2")); err != nil {
		t.Fatal(err)
	}
	want := map[lock.Change]bool{
		{Kind: "time", Name: "files", Old: "2023-11-14T22:13:20Z", New: "2023-11-14T23:13:20Z"}:    true,
		{Kind: "kubernetes", Arch: "amd64", Name: "k3s", Old: "v1.34.1+k3s1", New: "v1.34.1+k3s2"}: true,
		{Kind: "kernel", Arch: "amd64", Name: "linux-image-amd64", Old: "1", New: "2"}:             true,
		{Kind: "package", Arch: "amd64", Name: "curl", Old: "1", New: "2"}:                         true,
	}
	changes := wantOutdated(t, o, first, want)
	r := lockNow(t, o)
	if !r.Written || r.Digest == first.Digest || r.Made != "2026-11-29T02:13:00Z" {
		t.Errorf("after an update: %+v", r)
	}
	if diff := cmp.Diff(changes, r.Changes); diff != "" {
		t.Errorf("update does another thing than outdated says (-outdated +update):\n%s", diff)
	}
	wantOutdated(t, o, r, nil)
}

// wantOutdated checks that Outdated lists some changes, and leaves the lock alone.
func wantOutdated(t *testing.T, o LockOptions, now *LockResult, want map[lock.Change]bool) []lock.Change {
	t.Helper()
	r, err := Outdated(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, c := range r.Changes {
		if want[c] {
			found++
		}
	}
	if found != len(want) || len(want) == 0 && len(r.Changes) > 0 || r.Written || r.Digest != now.Digest || "sha256:"+digestOf(read(t, o.File)) != now.Digest {
		t.Errorf("outdated says %+v", r)
	}
	return r.Changes
}

// TestALockThatIsThere: without --update it stays, and must fit.
func TestALockThatIsThere(t *testing.T) {
	w := newWorld(t)
	o := w.lockOptions(t, "")
	lockNow(t, o)
	w.moveOn()
	w.list = nil
	if r := lockNow(t, o); r.Written || len(w.list) > 0 {
		t.Errorf("%+v, asked for %v", r, w.list)
	}
	wantBad := func(want string) {
		t.Helper()
		if _, err := Lock(t.Context(), o); err == nil || !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	o.Kubernetes = []WantedKubernetes{{Distribution: release.K3s, Wanted: "v1.34"}}
	wantBad(o.File + " is there already: add --update to change it")
	o.Kubernetes = nil
	text := string(read(t, o.File))
	for old, want := range map[string]string{
		"suite: trixie-updates": "the lock has the suite x, the flavor has not: `kairos-build lock --update debian-13 --lock " + o.File + "` makes it fit",
		"flavor: debian-13":     "is the lock of the flavor x, not of debian-13: name another file with --lock",
		"format: 1":             "unknown key",
	} {
		key, _, _ := strings.Cut(old, ":")
		damaged := key + ": x"
		if key == "format" {
			damaged = "fromat: 1"
		}
		if err := os.WriteFile(o.File, []byte(strings.Replace(text, old, damaged, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		wantBad(want)
	}
	o.Flavor = "debain-13"
	wantBad(`unknown flavor "debain-13"; did you mean debian-13?`)
}

// TestPackagesThatAreGone: the error of the package family is followed by what to type.
func TestPackagesThatAreGone(t *testing.T) {
	w := newWorld(t)
	o := w.lockOptions(t, "")
	lockNow(t, o)
	w.options.Lock, w.packages.during = o.File, func(context.Context, string) error { return fmt.Errorf("package curl 1: %w", packages.ErrGone) }
	_, err := Build(t.Context(), w.options)
	if err == nil || !strings.Contains(err.Error(), "package curl 1") || !strings.Contains(err.Error(), "; lock what the archive has now (`kairos-build lock --update debian-13 --lock "+o.File+"`), or name an archive") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(w.options.Dir, "disk.raw")); err == nil {
		t.Error("there is a disk")
	}
}

// TestLockedBase: a folder is compared by its digest, before anything is built. An update
// keeps its digest, and a build without --base takes the packages of the lock.
func TestLockedBase(t *testing.T) {
	w := newWorld(t)
	o := w.lockOptions(t, "")
	o.Base = baseLayout(t, "ID=debian\nVERSION_ID=13\n")
	lockNow(t, o)
	w.options.Artifacts, w.options.Base, w.options.Lock = []string{"image"}, o.Base, o.File
	r, asked := w.build(t)
	if !slices.Contains(asked, "over Package: a\n") || !slices.ContainsFunc(r.Inputs, func(i Input) bool { return i.Name == "base "+o.Base }) {
		t.Errorf("asked for %v, made from %v", asked, r.Inputs)
	}
	w.options.Base, w.list = baseLayout(t, "ID=debian\nVERSION_ID=13\nX=1\n"), nil
	_, err := Build(t.Context(), w.options)
	if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), w.options.Base+" is sha256:") || !strings.Contains(err.Error(), "the lock has sha256:") || slices.Contains(w.list, "write packages") {
		t.Errorf("got %v after %v", err, w.list)
	}
	w.options.Base = "registry.example/debian:13"
	if _, err := Build(t.Context(), w.options); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "--base is registry.example/debian:13, the lock has a folder or a file with the digest sha256:") {
		t.Errorf("got %v", err)
	}
	o.Base, o.Update = "", true
	if r := lockNow(t, o); r.Written || len(r.Changes) > 0 {
		t.Errorf("an update changed %+v", r)
	}
}

// TestLockedBaseOfARegistry: it is asked for by its digest, whatever its tag is now.
func TestLockedBaseOfARegistry(t *testing.T) {
	sum := "sha256:" + strings.Repeat("12", 32)
	b := &build{Options: Options{Base: "oci:registry.example:5000/debian:13"}, locked: &locked{Lock: &lock.Lock{Machines: []lock.Machine{{Arch: "amd64", Base: &lock.Base{Digest: sum}}}}}}
	b.choice.Arch = "amd64"
	if got, err := b.lockedBase(); err != nil || got != "registry.example:5000/debian@"+sum {
		t.Errorf("got %q, %v", got, err)
	}
	b.locked = nil
	if got, err := b.lockedBase(); err != nil || got != b.Base {
		t.Errorf("without a lock: %q, %v", got, err)
	}
}

// TestLockEndsWithItsContext: Ctrl-C leaves no lock.
func TestLockEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	o := w.lockOptions(t, "")
	w.packages.err = context.Canceled
	if _, err := Lock(t.Context(), o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(o.File)); err == nil {
		t.Errorf("left %v", entries)
	}
}
