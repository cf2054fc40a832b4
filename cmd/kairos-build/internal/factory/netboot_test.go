// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
)

func netbootOptions(w *world, path string) NetbootOptions {
	return NetbootOptions{
		Image: filepath.Join(w.options.Dir, imageName), Arch: "amd64", Path: path, CloudConfigs: w.options.CloudConfigs,
		State: w.options.State, Progress: w.options.Progress, Log: slog.New(slog.DiscardHandler),
	}
}

// tree reads the files of a folder by their paths.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all[path] = string(read(t, filepath.Join(dir, path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNetbootOfAnImage: `kairos-build netboot` writes the folder that a build writes.
func TestNetbootOfAnImage(t *testing.T) {
	w := newWorld(t)
	w.builder.files = []testimage.Entry{testimage.File(layout.ImageBoot[1:]+"/net/grubx64.efi", "network grub")}
	w.options.CloudConfigs = []string{siteConfig(t, "hostname: a\n")}
	w.options.Artifacts = []string{imageName, netbootName}
	built, _ := w.build(t)
	path := filepath.Join(t.TempDir(), "boot")
	made, err := MakeNetboot(t.Context(), netbootOptions(w, path))
	if err != nil {
		t.Fatal(err)
	}
	made.Dir = built.Netboot.Dir
	if diff := cmp.Diff(*built.Netboot, made); diff != "" {
		t.Errorf("-build +netboot:\n%s", diff)
	}
	all := tree(t, path)
	if diff := cmp.Diff(tree(t, filepath.Join(w.options.Dir, netbootName)), all); diff != "" {
		t.Errorf("-build +netboot:\n%s", diff)
	}
	if all["grubx64.efi"] != "network grub" || all["bootx64.efi"] != "shim" || all["mmx64.efi"] != "mok" {
		t.Errorf("the programs are %q, %q and %q", all["grubx64.efi"], all["bootx64.efi"], all["mmx64.efi"])
	}
}

// TestNetbootIsNoDefault: who does not ask for it does not wait for it.
func TestNetbootIsNoDefault(t *testing.T) {
	w := newWorld(t)
	if built, _ := w.build(t); built.Netboot != nil {
		t.Error("it was made")
	}
}

// TestNetbootFolder: a folder of its own is replaced in one step, a person's never.
func TestNetbootFolder(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	path := filepath.Join(t.TempDir(), "boot")
	for range 2 {
		if _, err := MakeNetboot(t.Context(), netbootOptions(w, path)); err != nil {
			t.Fatal(err)
		}
	}
	added := filepath.Join(path, "grub", "mine.cfg")
	if err := os.WriteFile(added, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := MakeNetboot(t.Context(), netbootOptions(w, path)); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "which would be lost, such as grub/mine.cfg") || !exists(added) {
		t.Errorf("a file of a person in its folder: %v", err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := MakeNetboot(t.Context(), netbootOptions(w, other))
	if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "holds other files, which would be lost") {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestServeFolder: a folder can be served, with another cloud-config.
func TestServeFolder(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	path := filepath.Join(t.TempDir(), "boot")
	if _, err := MakeNetboot(t.Context(), netbootOptions(w, path)); err != nil {
		t.Fatal(err)
	}
	o := netbootOptions(w, "")
	o.Image, o.CloudConfigs, o.Install = path, []string{siteConfig(t, "hostname: b\n")}, true
	boot, closeFiles, err := OpenNetboot(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := boot.File("config.cpio")
	data := make([]byte, f.Size)
	if _, err := f.Data.ReadAt(data, 0); !ok || err != nil || !strings.Contains(string(data), "hostname: b") || !strings.Contains(string(data), "auto: true") {
		t.Errorf("%v %v: %q", ok, err, data)
	}
	if err := closeFiles(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(path, "live.cpio")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenNetboot(t.Context(), o); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "has vanished from") {
		t.Errorf("got %v", err)
	}
}

// TestNetbootOfAnotherArchitecture: the image has no such architecture.
func TestNetbootOfAnotherArchitecture(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	o := netbootOptions(w, filepath.Join(t.TempDir(), "boot"))
	o.Arch = "arm64"
	if _, err := MakeNetboot(t.Context(), o); err == nil || !strings.Contains(err.Error(), "choose with --arch") {
		t.Errorf("got %v", err)
	}
}
