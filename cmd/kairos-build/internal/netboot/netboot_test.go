// SPDX-License-Identifier: Apache-2.0

package netboot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/ondisk/cpio"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

const root = "the root image and its tree"

func image() Image {
	tree := verity.Tree{Size: int64(len(root)), HashOffset: 8192}
	tree.RootHash[0] = 0xab
	return Image{
		Slot: &slotimage.Image{
			Tree: tree, Kernel: []byte("the kernel"), Initrd: []byte("the initrd of odd length"), Cmdline: "console=ttyS0 panic=10",
			Release: map[string]string{"KAIROS_VERSION": "v1.2.3"}, Bootloader: map[string][]byte{"grub.cfg": []byte("disk"), "efi/shimx64.efi": []byte("shim"), "bios/core.img": []byte("core")},
		},
		Root: strings.NewReader(root), Digest: "sha256:abcd", Arch: "amd64",
		Shim: []byte("shim"), GRUB: []byte("grub"), MokManager: []byte("mok"),
	}
}

func boot(t *testing.T, i Image, configs []cpio.Entry) *Boot {
	t.Helper()
	b, err := New(i, configs)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func quiet(int64, int64) {}

// write writes the folder of a boot.
func write(t *testing.T, b *Boot) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "netboot")
	if _, err := b.Write(t.Context(), dir, quiet); err != nil {
		t.Fatal(err)
	}
	return dir
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path[len(dir)+1:]] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFiles: the scripts and the manifest, for a person to review.
func TestFiles(t *testing.T) {
	b := boot(t, image(), ConfigEntries([][]byte{[]byte("#cloud-config\nhostname: a\n")}, true))
	all := contents(t, write(t, b))
	for _, name := range []string{Script, GRUBConfig, ManifestName} {
		golden.Check(t, "testdata/"+filepath.Base(name), all[name])
	}
	golden.Check(t, "testdata/server.ipxe", string(b.IPXE("http://192.0.2.1:8080/")))
	golden.Check(t, "testdata/server-grub.cfg", string(b.GRUBConfig("http,192.0.2.1")))
	want := []string{MokManager("amd64"), Script, Shim("amd64"), Config, GRUB("amd64"), GRUBConfig, Initrd, Kernel, Live, ManifestName}
	slices.Sort(want)
	var got []string
	for name := range all {
		got = append(got, name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTwice: the same image gives the same bytes.
func TestTwice(t *testing.T) {
	configs := ConfigEntries([][]byte{[]byte("#cloud-config\nhostname: a\n")}, false)
	first := contents(t, write(t, boot(t, image(), configs)))
	if diff := cmp.Diff(first, contents(t, write(t, boot(t, image(), configs)))); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
}

// TestLiveTree: /init looks for these names.
func TestLiveTree(t *testing.T) {
	all := contents(t, write(t, boot(t, image(), ConfigEntries([][]byte{[]byte("a: 1\n"), []byte("b: 2\n")}, true))))
	for _, name := range []string{"live\x00", "live/kairos\x00", "live/kairos/root.img\x00", "live/kairos/VMLINUZ\x00", "live/kairos/INITRD\x00", "live/kairos/SLOT.TXT\x00", "live/kairos/bootloader/efi/shimx64.efi\x00", root, "VERSION=v1.2.3\nDIGEST=sha256:abcd\n"} {
		if !strings.Contains(all[Live], name) {
			t.Errorf("%s lacks %q", Live, name)
		}
	}
	at := -1
	for _, name := range []string{"live/config.yaml\x00", "live/config_02.yaml\x00", "live/install.yaml\x00"} {
		next := strings.Index(all[Config], name)
		if next <= at {
			t.Errorf("%q is at %d in %s, the one before at %d", name, next, Config, at)
		}
		at = next
	}
	for _, name := range []string{Live, Config} {
		if len(all[name])%4 != 0 {
			t.Errorf("%s has %d bytes: the next archive begins at a multiple of four", name, len(all[name]))
		}
	}
}

// TestSecrets: only the owner may read the cloud-configs.
func TestSecrets(t *testing.T) {
	dir := write(t, boot(t, image(), ConfigEntries([][]byte{[]byte("a: 1\n")}, false)))
	info, err := os.Stat(filepath.Join(dir, Config))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestInstallConfig: the node accepts it.
// TestMemory: manifest and scripts say how much memory a machine needs: twice the archive,
// and 512 MiB.
func TestMemory(t *testing.T) {
	const live, want = 400 << 20, 1312
	if got := (Manifest{Files: []Written{{Path: Kernel, Size: 1}, {Path: Live, Size: live}}}).MemoryMiB(); got != want {
		t.Errorf("the manifest says %d MiB, want %d", got, want)
	}
	b := &Boot{Files: []File{{Path: Live, Size: live}}}
	for name, script := range map[string][]byte{Script: b.IPXE(""), GRUBConfig: b.GRUBConfig("")} {
		if !strings.Contains(string(script), "it needs 1312 MiB") {
			t.Errorf("%s does not say how much:\n%s", name, script)
		}
	}
}

func TestInstallConfig(t *testing.T) {
	_, f := config.Decode("install.yaml", []byte(InstallConfig))
	if f.Failed() {
		t.Errorf("%+v", f)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Image)
		kind   error
		want   string
	}{
		{"a separator of iPXE", func(i *Image) { i.Slot.Cmdline = "a && b" }, ErrImage, `the kernel argument "&&" cannot pass through iPXE; remove it from /usr/lib/kairos/cmdline`},
		{"a comment of GRUB", func(i *Image) { i.Slot.Cmdline = "a #b" }, ErrImage, `"#b"`},
		{"a long line", func(i *Image) { i.Slot.Cmdline = strings.Repeat("a", 2000) }, ErrImage, "at most 1900 pass through iPXE"},
		{"a large root image", func(i *Image) { i.Slot.Tree.Size = 5 << 30 }, cpio.ErrTooLarge, "its root image: live/kairos/root.img has 5368709120 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := image()
			c.change(&i)
			_, err := New(i, nil)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %v with %q", err, c.kind, c.want)
			}
		})
	}
}

// TestArchitecture: the shim of each architecture asks for GRUB by another name.
func TestArchitecture(t *testing.T) {
	i := image()
	i.Arch = "arm64"
	b := boot(t, i, nil)
	for _, name := range []string{"bootaa64.efi", "grubaa64.efi", "mmaa64.efi"} {
		if _, ok := b.File(name); !ok {
			t.Errorf("there is no %s", name)
		}
	}
	if !b.UEFI() {
		t.Error("UEFI machines cannot boot it")
	}
}

// TestWithoutNetworkGRUB: an image of before has no network GRUB; its shim alone is of no use.
func TestWithoutNetworkGRUB(t *testing.T) {
	i := image()
	i.GRUB = nil
	b := boot(t, i, nil)
	if _, ok := b.File(Shim("amd64")); ok || b.UEFI() {
		t.Error("a shim without GRUB")
	}
}

// TestInterrupted: a folder without a manifest is not complete.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err := boot(t, image(), nil).Write(ctx, dir, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, _, err := Open(dir); !errors.Is(err, ErrFolder) {
		t.Errorf("opened: %v", err)
	}
}

func TestNoRoom(t *testing.T) {
	i := image()
	i.Slot.Tree.Size = cpio.MaxFile
	b := boot(t, i, nil)
	for range 8 {
		b.Files = append(b.Files, File{Path: fmt.Sprintf("x%d", len(b.Files)), Size: 1 << 50})
	}
	dir := t.TempDir()
	_, err := b.Write(t.Context(), dir, quiet)
	if err == nil || !strings.Contains(err.Error(), "MiB free: no space left on device; the files need") {
		t.Errorf("got %v", err)
	}
	if all := contents(t, dir); len(all) > 0 {
		t.Errorf("it wrote %d files first", len(all))
	}
}

// TestOpen: a folder gives the same boot again, but for the scripts.
func TestOpen(t *testing.T) {
	first := boot(t, image(), ConfigEntries([][]byte{[]byte("a: 1\n")}, false))
	again, closeFiles, err := Open(write(t, first))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Facts, again.Facts); diff != "" {
		t.Errorf("-first +again:\n%s", diff)
	}
	if diff := cmp.Diff(read(t, first), read(t, again)); diff != "" {
		t.Errorf("-first +again:\n%s", diff)
	}
	if err := closeFiles(); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, b *Boot) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, f := range b.Files {
		data, err := io.ReadAll(io.NewSectionReader(f.Data, 0, f.Size))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Path] = string(data)
	}
	return all
}

func TestOpenRefused(t *testing.T) {
	edit := func(name string, change func([]byte) []byte) func(string) error {
		return func(dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, name), change(data), 0o644)
		}
	}
	replace := func(from, to string) func(string) error {
		return edit(ManifestName, func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) })
	}
	for _, c := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"a file vanished", func(dir string) error { return os.Remove(filepath.Join(dir, Live)) }, "netboot.json names live.cpio, which has vanished from "},
		{"a changed byte", edit(Live, func(b []byte) []byte { b[200] ^= 1; return b }), "live.cpio in "},
		{"a file cut short", edit(Initrd, func(b []byte) []byte { return b[:5] }), "(5 bytes of 24, "},
		{"no manifest", func(dir string) error { return os.Remove(filepath.Join(dir, ManifestName)) }, "no such file"},
		{"no JSON", edit(ManifestName, func([]byte) []byte { return []byte("{") }), "netboot.json: unexpected end"},
		{"a later format", replace(`"format": 1`, `"format": 9`), "has format 9, and this program reads 1"},
		{"a path out of the folder", replace(`"path": "kernel"`, `"path": "../kernel"`), `names the file "../kernel"`},
		{"no kernel", replace(`"path": "kernel"`, `"path": "boot.ipxe"`), "SHA-256"},
		{"a kernel line with a command", replace(`"cmdline": "`, `"cmdline": "a || shell `), `"||" cannot pass`},
		{"a large manifest", edit(ManifestName, func([]byte) []byte { return make([]byte, maxManifest+1) }), "more than 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, boot(t, image(), nil))
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			_, _, err := Open(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzParseManifest: what is accepted names files below the folder, and a line that passes.
func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"image":{"cmdline":"a"},"files":[{"path":"kernel","size":1,"sha256":"ab"}]}`))
	f.Add([]byte(`{"format":1,"files":[{"path":"/kernel"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err != nil {
			return
		}
		for _, w := range m.Files {
			if !filepath.IsLocal(w.Path) {
				t.Errorf("accepted %q", w.Path)
			}
		}
		if _, err := json.Marshal(m); err != nil {
			t.Error(err)
		}
	})
}
