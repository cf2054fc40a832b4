// SPDX-License-Identifier: Apache-2.0

package iso_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/iso"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// core returns a core image that bootloader.New accepts.
func core() []byte {
	b := make([]byte, 1024)
	copy(b[508:], []byte{1, 0, 0x20, 0x08})
	return b
}

func spec(t *testing.T) iso.Spec {
	t.Helper()
	sector := append(make([]byte, 510), 0x55, 0xaa)
	root := &memory{}
	data := bytes.Repeat([]byte("root"), 2048)
	if _, err := root.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	tree, err := verity.Write(t.Context(), root, int64(len(data)), verity.Params{})
	if err != nil {
		t.Fatal(err)
	}
	return iso.Spec{
		Image: &slotimage.Image{
			Tree: tree, Kernel: []byte("kernel"), Initrd: []byte("initrd"), Cmdline: "console=ttyS0", Release: map[string]string{"KAIROS_VERSION": "v1.2.3"},
			Bootloader: map[string][]byte{
				bootloader.BIOSBoot: sector, bootloader.BIOSCore: core(), bootloader.Config: []byte("disk"), bootloader.DirFile: []byte("debian\n"),
				bootloader.CDCore: make([]byte, 4096), bootloader.CDHybrid: sector,
				"efi/shimx64.efi": []byte("shim"), "efi/grubx64.efi": []byte("grub"), "efi/mmx64.efi": []byte("mok"),
			},
		},
		BootLoader: loader, Root: root, Digest: "sha256:0123", Time: time.Unix(1_700_000_000, 0),
	}
}

func loader(files map[string][]byte) (iso.BootLoader, error) {
	m, err := bootloader.NewMedium(files)
	return iso.BootLoader{BootLoader: bootconf.Loader{}, Core: m.Core, Hybrid: m.Hybrid, CorePath: bootloader.CDCorePath, EFI: m.EFI}, err
}

type memory struct{ b []byte }

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	if need := int(at) + len(b); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[at:], b), nil
}

func (m *memory) ReadAt(b []byte, at int64) (int, error) { return bytes.NewReader(m.b).ReadAt(b, at) }

func write(t *testing.T, s iso.Spec) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "live.iso")
	r, err := iso.Write(t.Context(), path, s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || r.Size != int64(len(b)) || r.SHA256 != fmt.Sprintf("%x", sha256.Sum256(b)) {
		t.Errorf("%d bytes, SHA-256 %s, %v", r.Size, r.SHA256, err)
	}
	return path
}

// contents opens an ISO and returns its files, and one of them.
func contents(t *testing.T, path, file string) (*iso9660.Image, string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	image, err := iso9660.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := image.File(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return image, string(data)
}

func TestContents(t *testing.T) {
	s := spec(t)
	s.Configs = [][]byte{[]byte("#cloud-config\nhostname: first\n"), []byte("#cloud-config\nhostname: last\n")}
	path := write(t, s)
	image, config := contents(t, path, layout.LiveConfig)
	var list strings.Builder
	for _, name := range sortedNames(image) {
		e, _ := image.Extent(name)
		fmt.Fprintf(&list, "%8d %7d %s\n", e.Offset/2048, e.Size, name)
	}
	_, boot := contents(t, path, "kairos/BOOT.CFG")
	_, label := contents(t, path, "kairos/SLOT.TXT")
	golden.Check(t, "testdata/contents.txt", list.String()+"\nBOOT.CFG\n"+boot+"\nSLOT.TXT\n"+label)
	if !strings.Contains(config, "last") {
		t.Errorf("config.yaml: %s", config)
	}
	if _, first := contents(t, path, "90_custom.yaml"); !strings.Contains(first, "first") {
		t.Errorf("90_custom.yaml: %s", first)
	}
	again, err := os.ReadFile(write(t, s))
	b, err2 := os.ReadFile(path)
	if err := errors.Join(err, err2); err != nil || !bytes.Equal(b, again) {
		t.Errorf("writing twice gives different bytes (%v)", err)
	}
}

func sortedNames(image *iso9660.Image) (names []string) {
	for name := range image.Files() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestAddConfig: the new config is there, the old one is not, and the rest is as before.
func TestAddConfig(t *testing.T) {
	s := spec(t)
	path := write(t, s)
	if _, config := contents(t, path, layout.LiveConfig); config != iso.DefaultConfig {
		t.Errorf("without a config: %q", config)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"first-secret", "second-secret", "third-secret"} {
		config := "#cloud-config\nhostname: " + secret + "\n"
		if err := iso.AddConfig(t.Context(), path, "", []byte(config)); err != nil {
			t.Fatal(err)
		}
		if _, got := contents(t, path, layout.LiveConfig); got != config {
			t.Errorf("config.yaml is %q", got)
		}
		b, err := os.ReadFile(path)
		if err != nil || bytes.Count(b, []byte("-secret")) != 1 {
			t.Errorf("the ISO holds %d secrets (%v), want the new one", bytes.Count(b, []byte("-secret")), err)
		}
	}
	after := filepath.Join(t.TempDir(), "copy.iso")
	if err := iso.AddConfig(t.Context(), path, after, []byte(iso.DefaultConfig)); err != nil {
		t.Fatal(err)
	}
	if _, got := contents(t, path, layout.LiveConfig); !strings.Contains(got, "third-secret") {
		t.Errorf("with -o the ISO itself has changed: %q", got)
	}
	b, err := os.ReadFile(after)
	if err != nil || !bytes.Equal(b, before) { // four changes lead back to the first half
		t.Errorf("going back to the first config does not give the first ISO (%v)", err)
	}
}

func TestAddConfigRefuses(t *testing.T) {
	path := write(t, spec(t))
	foreign := filepath.Join(t.TempDir(), "foreign.iso")
	f, err := os.Create(foreign)
	if err != nil {
		t.Fatal(err)
	}
	r, err := iso9660.Write(t.Context(), f, nil, iso9660.Options{Label: "CIDATA", ID: func(string) gpt.GUID { return gpt.NewGUID() }})
	if err := errors.Join(err, f.Truncate(r.Size), f.Close()); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		size int
		want string
	}{
		{path, iso.MinSpace + 1, "the ISO has no room for the config: it has 524289 bytes, and there are 524288; make the ISO again"},
		{foreign, 1, `this is no installer medium of kairos-build: its label is "CIDATA", want COS_LIVE`},
		{text, 1, "not an ISO 9660 file system"},
		{path + ".none", 1, "no such file or directory"},
	} {
		before, _ := os.ReadFile(test.path)
		err := iso.AddConfig(t.Context(), test.path, "", make([]byte, test.size))
		after, _ := os.ReadFile(test.path)
		if err == nil || !strings.Contains(err.Error(), test.want) || !bytes.Equal(before, after) {
			t.Errorf("%s: %v, want %q", test.path, err, test.want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*iso.Spec)
		want   string
	}{
		{"an older image", func(s *iso.Spec) { delete(s.Image.Bootloader, bootloader.CDCore) }, "has no bios/eltorito.img and bios/boot_hybrid.img, which start a CD-ROM under BIOS: an older kairos-build made the image; build it again"},
		{"no boot loader", func(s *iso.Spec) { s.Image.Bootloader = nil }, "the image's boot loader is not usable"},
		{"a small partition", func(s *iso.Spec) { s.Persistent = 1 << 20 }, "a persistent partition of 1 MiB: want at least 64"},
		{"a root image that is cut short", func(s *iso.Spec) { s.Root = strings.NewReader("root") }, "kairos/root.img: reading"},
	} {
		s, path := spec(t), filepath.Join(t.TempDir(), "live.iso")
		test.change(&s)
		_, err := iso.Write(t.Context(), path, s)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: there is an ISO", test.name)
		}
	}
}

func TestUEFIOnly(t *testing.T) {
	s := spec(t)
	for _, name := range []string{bootloader.BIOSBoot, bootloader.BIOSCore, bootloader.CDCore, bootloader.CDHybrid} {
		delete(s.Image.Bootloader, name)
	}
	image, _ := contents(t, write(t, s), "EFI/debian/grub.cfg")
	if _, ok := image.Extent("boot/grub/eltorito.img"); ok {
		t.Error("an image without BIOS gives an ISO with it")
	}
}
