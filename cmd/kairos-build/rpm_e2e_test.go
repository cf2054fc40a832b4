// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/rpmrepo"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/recipes"
)

// tinyFlavor is the flavor of rpmrepo.Tiny.
const tinyFlavor = `name: tiny
title: Tiny
family: %s
id: tiny
release: "9.1"
base:
  archive:
    keyring: tiny.pgp
    keys: [%s]
    repositories:
      - id: main
        url: file://%s
    database: %s
    base_packages: [filesystem, setup, tiny-release, bash]
packages: [systemd, app]
tools: [kmod, grub2-tools]
models:
  generic: {kernel: [kernel-core], cmdline: quiet}
boot:
  amd64:
    packages: [shim-x64, grub2-efi-x64]
    shim: /boot/efi/EFI/tiny/shimx64.efi
    mok_manager: /boot/efi/EFI/tiny/mmx64.efi
    grub: /boot/efi/EFI/tiny/grubx64.efi
    grub_dir: tiny
    grub_mkimage: grub2-mkimage
    bios_modules: /usr/lib/grub/i386-pc
    efi_arch: x64
`

// A tiny is a distribution of rpm packages, with a flavor for it.
type tiny struct {
	*testing.T
	key       *rpmrepo.Key
	dir, repo string
}

func newTiny(t *testing.T, family, database string, packages ...rpmrepo.Package) *tiny {
	t.Helper()
	key, repo := rpmrepo.NewKey(t), t.TempDir()
	key.Repository(t, repo, packages...)
	return tinyOf(t, key, repo, family, database)
}

// tinyOf writes a flavor for a repository.
func tinyOf(t *testing.T, key *rpmrepo.Key, repo, family, database string) *tiny {
	t.Helper()
	w := &tiny{t, key, t.TempDir(), repo}
	text := fmt.Sprintf(tinyFlavor, family, w.key.Fingerprint, w.repo, database)
	for name, data := range map[string][]byte{"flavor.yaml": []byte(text), "tiny.pgp": w.key.Public(t)} {
		if err := os.WriteFile(filepath.Join(w.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// edit changes the flavor.
func (w *tiny) edit(from, to string) {
	w.Helper()
	file := filepath.Join(w.dir, "flavor.yaml")
	data, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(data, []byte(from)) {
		w.Fatalf("no %q in the flavor (%v)", from, err)
	}
	if err := os.WriteFile(file, bytes.Replace(data, []byte(from), []byte(to), 1), 0o644); err != nil {
		w.Fatal(err)
	}
}

// TestRPM builds an image from signed repositories with the real dnf, zypper and rpm, and
// builds it from its lock once the repository has no list any more: the same image.
func TestRPM(t *testing.T) {
	key, signed := rpmrepo.NewKey(t), t.TempDir()
	key.Repository(t, signed, rpmrepo.Tiny(t)...)
	for _, family := range []struct{ name, database, file string }{{"dnf", "sqlite", "rpmdb.sqlite"}, {"zypper", "ndb", "Packages.db"}} {
		t.Run(family.name, func(t *testing.T) {
			repo := filepath.Join(t.TempDir(), "repo")
			if err := os.CopyFS(repo, os.DirFS(signed)); err != nil {
				t.Fatal(err)
			}
			w := tinyOf(t, key, repo, family.name, family.database)
			one, out := &world{t: t}, t.TempDir()
			lock := filepath.Join(w.dir, "lock.yaml")
			if text, err := one.command(t.Context(), "lock", w.dir).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			first := one.produce(filepath.Join(out, "first"), "flavor", w.dir, "--artifact", "image", "--no-lock")
			wantTiny(t, filepath.Join(out, "first", "image"), family.file)
			if !slices.ContainsFunc(first.Steps, func(s factory.Step) bool { return s.Name == "input: toolbox" && s.Cached }) {
				t.Errorf("the toolbox that chose the packages is made again: %+v", first.Steps)
			}
			if !testing.Short() { // an image of ours is a base, too
				one.produce(filepath.Join(out, "over"), "flavor", w.dir, "--artifact", "image", "--no-lock", "--base", filepath.Join(out, "first", "image"))
				wantTiny(t, filepath.Join(out, "over", "image"), family.file)
			}
			if err := os.RemoveAll(filepath.Join(w.repo, "repodata")); err != nil {
				t.Fatal(err)
			}
			locked := one.produce(filepath.Join(out, "locked"), "flavor", w.dir, "--artifact", "image", "--lock", lock)
			if diff := cmp.Diff(identity(first), identity(locked)); diff != "" {
				t.Errorf("the lock gives another image (-first +locked):\n%s", diff)
			}
			if one, two := toolboxOf(first), toolboxOf(locked); one == "" || one != two {
				t.Errorf("the toolbox is %s, and from the lock it is %s", one, two)
			}
			if testing.Short() && family.name != "dnf" {
				return // the root is made in the same way
			}
			cold := newWorld(t).produce(filepath.Join(out, "cold"), "flavor", w.dir, "--artifact", "image", "--lock", lock)
			if diff := cmp.Diff(identity(first), identity(cold)); diff != "" {
				what, err := one.command(t.Context(), "diff", filepath.Join(out, "first"), filepath.Join(out, "cold")).CombinedOutput()
				t.Errorf("a cold cache gives another image (-first +cold):\n%s\n%s\n%v", diff, what, err)
			}
		})
	}
}

// toolboxOf is the digest of the toolbox of a build.
func toolboxOf(r *factory.Result) string {
	for _, in := range r.Inputs {
		if in.Name == recipes.InputToolbox {
			return in.Digest
		}
	}
	return ""
}

// wantTiny checks what scriptlets did, in the root that they run in, and what lies in it.
func wantTiny(t *testing.T, dir, database string) {
	t.Helper()
	image, err := source.Layout(dir, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"usr/share/ran": "ran\n", "usr/share/app-ran": "1\n", "usr/share/app/data": "data\n",
		"boot/vmlinuz-" + rpmrepo.KernelVersion:     "a kernel",
		"usr/lib/kairos/bootloader/efi/shimx64.efi": "shim", "usr/lib/kairos/bootloader/efi/grubx64.efi": "grub",
	}
	database = "usr/lib/sysimage/rpm/" + database
	names := []string{database, "usr/lib/sysimage/rpm/.rpm.lock", "usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "kairos-toolbox", "kairos-unused"}
	for name := range want {
		names = append(names, name)
	}
	files, err := source.Files(image, names...)
	if err != nil {
		t.Fatal(err)
	}
	if len(files[database]) == 0 {
		t.Errorf("the image has no %s", database)
	}
	delete(files, database)
	got := map[string]string{}
	for name, data := range files {
		got[name] = string(data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestRPMOnAnothersBase starts from an image that the host's rpm made, as a publisher does: with
// its database in /var, a file that no package has, and a package that no flavor names.
func TestRPMOnAnothersBase(t *testing.T) {
	w, out := newTiny(t, "dnf", "sqlite", append(rpmrepo.Tiny(t), rpmrepo.Package{Name: "theirs", Files: map[string]string{"/usr/share/theirs": "theirs\n"}})...), t.TempDir()
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(filepath.Join(root, "proc/self"), 0o755); err != nil { // a scriptlet looks for it
		t.Fatal(err)
	}
	rpm := func(database string, args ...string) string {
		t.Helper()
		args = append([]string{"--root", root, "--define", "_dbpath /" + database, "--define", "_db_backend sqlite", "--nosignature"}, args...)
		text, err := exec.CommandContext(t.Context(), "rpm", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("rpm %v: %v\n%s", args, err, text)
		}
		return string(text)
	}
	install := []string{"--install"}
	for _, name := range []string{"filesystem", "setup", "tiny-release", "bash", "theirs"} {
		found, err := filepath.Glob(filepath.Join(w.repo, name+"-*.rpm"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", name, found, err)
		}
		install = append(install, found[0])
	}
	rpm("var/lib/rpm", install...)
	if err := os.WriteFile(filepath.Join(root, "usr/share/mine"), []byte("mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(t.TempDir(), "root.tar")
	if text, err := exec.CommandContext(t.Context(), "tar", "-C", root, "--exclude", "./proc/*", "-cf", packed, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	base := layoutOf(t, userImage(t, packed))

	(&world{t: t}).produce(out, "flavor", w.dir, "--artifact", "image", "--base", base)
	wantTiny(t, filepath.Join(out, "image"), "rpmdb.sqlite")
	const database, theirs, mine = "usr/lib/sysimage/rpm/rpmdb.sqlite", "usr/share/theirs", "usr/share/mine"
	image, err := source.Layout(filepath.Join(out, "image"), v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := source.Files(image, database, theirs, mine)
	if err != nil {
		t.Fatal(err)
	}
	if string(files[theirs]) != "theirs\n" || string(files[mine]) != "mine\n" {
		t.Errorf("of the base's own files there are %q and %q", files[theirs], files[mine])
	}
	if err := os.MkdirAll(filepath.Join(root, "after"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "after/rpmdb.sqlite"), files[database], 0o644); err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(rpm("after", "--query", "--all", "--queryformat", "%{NAME}\n"))
	slices.Sort(names)
	want := []string{"app", "app-data", "bash", "filesystem", "grub2-efi-x64", "kernel-core", "setup", "shim-x64", "systemd", "theirs", "tiny-release"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("packages in the database (-want +got):\n%s", diff)
	}
}

// TestRPMRefused reads the errors that only a build can find.
func TestRPMRefused(t *testing.T) {
	modules, key, repo := rpmrepo.Kernel("/usr/share/nothing"), rpmrepo.NewKey(t), t.TempDir()
	modules.Name = "kernel-modules"
	key.Repository(t, repo, append(rpmrepo.Tiny(t), modules)...)
	for _, tt := range []struct {
		name, family string
		spoil        func(*tiny)
		want         string
	}{
		{"a conflict, dnf", "dnf", func(w *tiny) { w.edit("packages: [systemd, app]", "packages: [systemd, app, foe]") }, "packages: the packages cannot be installed together: Problem: package foe-1-1.noarch from main conflicts with app"},
		{"a conflict, zypper", "zypper", func(w *tiny) { w.edit("packages: [systemd, app]", "packages: [systemd, app, foe]") }, "packages: the packages cannot be installed together: Problem: 1: the to be installed foe-1-1.noarch conflicts with 'app'"},
		{"a need that nothing meets", "dnf", func(w *tiny) { w.edit("packages: [systemd, app]", "packages: [systemd, needy]") }, "nothing provides nothing-has-this >= 3 needed by needy-1-1.noarch from main"},
		{"a package that does not exist", "zypper", func(w *tiny) { w.edit("packages: [systemd, app]", "packages: [systemd, apq]") }, `flavor.yaml:15:21: packages: package "apq" is not in the repositories (main): did you mean "app"?`},
		{"no kernel", "dnf", func(w *tiny) { w.edit("kernel: [kernel-core]", "kernel: [kernel-modules]") }, "but no kernel, neither /boot/vmlinuz-" + rpmrepo.KernelVersion + " nor /usr/lib/modules/" + rpmrepo.KernelVersion + "/vmlinuz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := tinyOf(t, key, repo, tt.family, "sqlite")
			tt.spoil(w)
			one := &world{t: t}
			cmd := one.command(t.Context(), "flavor", w.dir, "--artifact", "image", "-o", filepath.Join(t.TempDir(), "out"), "--progress", "plain")
			text, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(text), tt.want) {
				t.Errorf("got %v\n%s\nwant %q", err, text, tt.want)
			}
			if code := cmd.ProcessState.ExitCode(); code == commandline.OK {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

// TestRPMKernelInBoot: a kernel that is in /boot, as in older distributions.
func TestRPMKernelInBoot(t *testing.T) {
	if testing.Short() {
		t.Skip("the kernel beside its modules is built in TestRPM")
	}
	all := rpmrepo.Tiny(t)
	for i, p := range all {
		if p.Name == "kernel-core" {
			all[i] = rpmrepo.Kernel("/boot/vmlinuz-" + rpmrepo.KernelVersion)
		}
	}
	w, out := newTiny(t, "dnf", "sqlite", all...), t.TempDir()
	(&world{t: t}).produce(out, "flavor", w.dir, "--artifact", "image")
	wantTiny(t, filepath.Join(out, "image"), "rpmdb.sqlite")
}
