// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	goerofs "github.com/erofs/go-erofs"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

func TestMerge(t *testing.T) {
	for _, test := range []struct {
		name   string
		layers [][]row
		want   map[string]string // content by path
	}{
		{"later layer wins", [][]row{{file("a", "1")}, {file("a", "2")}}, map[string]string{"a": "2"}},
		{"names in every form", [][]row{{dir("./"), file("./x/a", "1"), file("/x/b", "2"), dir("x/"), file("x//c/./d", "3")}},
			map[string]string{"x/a": "1", "x/b": "2", "x/c/d": "3"}},
		{"whiteout", [][]row{{file("x/a", "1"), file("x/b", "2")}, {file("x/.wh.a", "")}}, map[string]string{"x/a": "(none)", "x/b": "2"}},
		{"whiteout of a directory", [][]row{{file("x/y/a", "1")}, {file("x/.wh.y", "")}}, map[string]string{"x/y": "(none)"}},
		{"whiteout then new", [][]row{{file("x/y/a", "1")}, {file("x/.wh.y", "")}, {file("x/y/b", "2")}}, map[string]string{"x/y/a": "(none)", "x/y/b": "2"}},
		{"whiteout beside the same name", [][]row{{file("x/y/a", "1")}, {dir("x/y"), file("x/y/b", "2"), file("x/.wh.y", "")}},
			map[string]string{"x/y/a": "(none)", "x/y/b": "2"}},
		{"whiteout below the layer that adds", [][]row{{file("a", "1")}, {file(".wh.a", "")}, {file("a", "3")}}, map[string]string{"a": "3"}},
		{"opaque", [][]row{{file("x/a", "1"), file("x/y/b", "2")}, {dir("x"), file("x/c", "3"), file("x/.wh..wh..opq", "")}},
			map[string]string{"x/a": "(none)", "x/y": "(none)", "x/c": "3"}},
		{"opaque root", [][]row{{file("x", "1")}, append([]row{file(".wh..wh..opq", ""), file("y", "2")}, base()...)}, map[string]string{"x": "(none)", "y": "2"}},
		{"other markers of aufs", [][]row{{file(".wh..wh.plnk", ""), file(".wh..wh.aufs", ""), file("a", "1")}}, map[string]string{"a": "1", ".wh..wh.plnk": "(none)", "plnk": "(none)"}},
		{"file over directory", [][]row{{file("x/a", "1")}, {file("x", "2")}}, map[string]string{"x": "2"}},
		{"link over directory", [][]row{{file("x/a", "1")}, {symlink("x", "y")}}, map[string]string{"x": "y"}},
		{"directory over file", [][]row{{file("x", "1")}, {dir("x"), file("x/a", "2")}}, map[string]string{"x/a": "2"}},
		{"directory over file over directory", [][]row{{file("x/old", "1")}, {file("x", "2")}, {dir("x"), file("x/new", "3")}},
			map[string]string{"x/old": "(none)", "x/new": "3"}},
		{"twice in one layer", [][]row{{file("a", "1"), file("a", "2"), symlink("a", "three"), file("a", "4")}}, map[string]string{"a": "4"}},
		{"boot is left out", [][]row{{file("boot/config-6", "c"), file("boot/grub/grub.cfg", "g"), file("bootx", "x")}},
			map[string]string{"boot": "(dir)", "boot/vmlinuz": "(none)", "boot/config-6": "(none)", "boot/grub": "(none)", "bootx": "x"}},
		{"boot loader is left out", [][]row{{dir("usr/lib/kairos/bootloader"), file("usr/lib/kairos/bootloader/bios/core.img", "c"), file("usr/lib/kairos/cmdline", "quiet")}},
			map[string]string{"usr/lib/kairos/bootloader": "(none)", "usr/lib/kairos/cmdline": "quiet"}},
		{"parents of what is left out", [][]row{{file("usr/lib/kairos/bootloader/bios/core.img", "c")}},
			map[string]string{"usr/lib/kairos": "(dir)", "usr/lib/kairos/bootloader": "(none)"}},
		{"global header", [][]row{{{flag: tar.TypeXGlobalHeader, name: "pax_global_header", edit: func(h *tar.Header) {
			*h = tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: h.Name, PAXRecords: map[string]string{"comment": "c"}}
		}}, file("a", "1")}}, map[string]string{"a": "1", "pax_global_header": "(none)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, f, err := write(t, test.layers...)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for path := range test.want {
				got[path] = content(t, f, path)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestHardLinks(t *testing.T) {
	for _, test := range []struct {
		name   string
		layers [][]row
		want   map[string]string
		same   []string // paths that share one inode
	}{
		{"in one layer", [][]row{{file("a", "1"), hardlink("b", "a"), hardlink("x/c", "./b"), hardlink("d", "/a")}},
			map[string]string{"b": "1", "x/c": "1", "d": "1"}, []string{"a", "b", "x/c", "d"}},
		{"to a symbolic link", [][]row{{symlink("a", "to"), hardlink("b", "a")}}, map[string]string{"b": "to"}, []string{"a", "b"}},
		{"before the target", [][]row{{hardlink("b", "a"), hardlink("c", "b"), file("a", "1")}}, map[string]string{"b": "1", "c": "1"}, []string{"a", "b", "c"}},
		{"target replaced above", [][]row{{file("a", "1"), hardlink("b", "a"), hardlink("c", "a"), hardlink("d", "b")}, {file("a", "2")}},
			map[string]string{"a": "2", "b": "1", "c": "1", "d": "1"}, []string{"b", "c", "d"}},
		{"target removed above", [][]row{{file("a", "1"), hardlink("b", "a")}, {file(".wh.a", "")}}, map[string]string{"a": "(none)", "b": "1"}, nil},
		{"target below a file above", [][]row{{file("x/a", "1"), hardlink("b", "x/a")}, {file("x", "2")}}, map[string]string{"x": "2", "b": "1"}, nil},
		{"before a target that is replaced above", [][]row{{hardlink("b", "a"), file("a", "1")}, {file("a", "2")}}, map[string]string{"a": "2", "b": "1"}, nil},
		{"name replaced above", [][]row{{file("a", "1"), hardlink("b", "a"), hardlink("c", "b")}, {file("b", "2")}},
			map[string]string{"a": "1", "b": "2", "c": "1"}, []string{"a", "c"}},
		{"all but the last name hidden", [][]row{{file("a", "1"), hardlink("b", "a"), hardlink("c", "b")}, {file("a", "2"), file(".wh.b", "")}},
			map[string]string{"a": "2", "b": "(none)", "c": "1"}, nil},
		{"to a lower layer", [][]row{{file("a", "1")}, {hardlink("b", "a")}}, map[string]string{"a": "1", "b": "1"}, []string{"a", "b"}},
		{"to a link of a lower layer", [][]row{{file("a", "1"), hardlink("z", "a")}, {}, {hardlink("b", "z")}}, map[string]string{"b": "1"}, []string{"a", "z", "b"}},
		{"to a lower layer, replaced above", [][]row{{file("a", "1")}, {hardlink("b", "a")}, {file("a", "3")}}, map[string]string{"a": "3", "b": "1"}, nil},
		{"to the middle of three", [][]row{{file("a", "1")}, {file("a", "2")}, {hardlink("b", "a")}, {file(".wh.a", "")}}, map[string]string{"a": "(none)", "b": "2"}, nil},
		{"from two layers", [][]row{{file("a", "1")}, {hardlink("b", "a")}, {hardlink("c", "a")}, {hardlink("d", "c"), file(".wh.a", "")}},
			map[string]string{"b": "1", "c": "1", "d": "1"}, []string{"b", "c", "d"}},
		{"to what is left out", [][]row{{file("boot/x", "1"), hardlink("b", "boot/x"), hardlink("c", "b")}}, map[string]string{"b": "1", "c": "1"}, []string{"b", "c"}},
		{"replaced by a file in the same layer", [][]row{{file("a", "1"), hardlink("b", "a"), file("b", "2"), hardlink("c", "b")}},
			map[string]string{"a": "1", "b": "2", "c": "2"}, []string{"b", "c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, f, err := write(t, test.layers...)
			if err != nil {
				t.Fatal(err)
			}
			for path, want := range test.want {
				if got := content(t, f, path); got != want {
					t.Errorf("%s holds %q, want %q", path, got, want)
				}
			}
			for _, path := range test.same {
				if inodeOf(t, f, path) != inodeOf(t, f, test.same[0]) {
					t.Errorf("%s and %s are not the same inode", path, test.same[0])
				}
			}
		})
	}
}

// inodeOf returns the inode number and the link count of path.
func inodeOf(t *testing.T, r io.ReaderAt, path string) [2]int64 {
	t.Helper()
	img, err := goerofs.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := fs.Lstat(img, path)
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*goerofs.Stat)
	return [2]int64{st.Ino, int64(st.Nlink)}
}

func TestMetadata(t *testing.T) {
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	_, f, err := write(t,
		[]row{
			dir("keep").with(func(h *tar.Header) { h.Mode = 0o700 }),
			dir("take").with(func(h *tar.Header) { h.Mode = 0o711; h.Uid = 7 }),
			file("late", "").with(func(h *tar.Header) { h.ModTime = time.Unix(epoch+9, 0) }),
		},
		[]row{
			dir("keep").with(func(h *tar.Header) { h.Mode = 0o1750; h.Gid = 12; h.ModTime = time.Unix(5, 0) }),
			file("take/x", ""),
			file("ping", "p").with(func(h *tar.Header) {
				h.Mode = 0o4755
				h.Uid, h.Gid = 4000000000, 3000000
				h.ModTime = time.Unix(epoch, 123456789)
				h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": capability, "OTHER.record": "x"}
			}),
			{flag: tar.TypeChar, name: "dev/null", edit: func(h *tar.Header) { h.Devmajor, h.Devminor, h.Mode = 1, 3, 0o666 }},
			{flag: tar.TypeBlock, name: "dev/disk", edit: func(h *tar.Header) { h.Devmajor, h.Devminor = 259, 300 }},
			{flag: tar.TypeFifo, name: "fifo"},
		})
	if err != nil {
		t.Fatal(err)
	}
	got := tree(t, f)
	for path, want := range map[string]string{
		".":        `drwxr-xr-x 0:0 1700000009.0 19 map[] ""`,
		"keep":     `dtrwxr-x--- 0:12 5.0 2 map[] ""`,
		"take":     `drwx--x--x 7:0 1700000000.0 2 map[] ""`,
		"ping":     `urwxr-xr-x 4000000000:3000000 1700000000.123456789 1 map["security.capability":"\x01\x00\x00\x02\x00 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"] "p"`,
		"dev/null": `Dcrw-rw-rw- 0:0 1700000000.0 1 map[] "259"`,
		"dev/disk": `Drw-r--r-- 0:0 1700000000.0 1 map[] "1114924"`,
		"fifo":     `prw-r--r-- 0:0 1700000000.0 1 map[] "0"`,
		"tmp":      `dtrwxrwxrwx 0:0 1700000009.0 2 map[] ""`,
		"oem":      `drwxr-xr-x 0:0 1700000009.0 2 map[] ""`,
	} {
		if diff := cmp.Diff(want, got[path]); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
}

func TestMountPoints(t *testing.T) {
	_, f, err := write(t, []row{dir("run").with(func(h *tar.Header) { h.Mode = 0o700 }), file("usr/bin/x", "")})
	if err != nil {
		t.Fatal(err)
	}
	got := tree(t, f)
	for _, path := range []string{"proc", "sys", "dev", "tmp", "oem", "usr/local", "boot", "system/oem", "efi", "etc", "srv", "var"} {
		if !strings.HasPrefix(got[path], "d") {
			t.Errorf("%s is %q, want a directory", path, got[path])
		}
	}
	if !strings.HasPrefix(got["run"], "drwx------") {
		t.Errorf("run lost the image's mode: %s", got["run"])
	}
	for _, path := range layout.Persistent() {
		if line, ok := got[path[1:]]; ok {
			t.Errorf("%s was made: %s", path, line)
		}
	}
}

func TestKept(t *testing.T) {
	image, _, err := write(t,
		[]row{
			file("boot/vmlinuz-6.12", "NEWKERNEL"), symlink("boot/vmlinuz", "vmlinuz-6.12"),
			file("boot/initrd", "NEWINITRD"),
			file("usr/lib/kairos/cmdline", " console=ttyS0 quiet\n"),
			file("usr/lib/kairos/bootloader/bios/core.img", "CORE"),
			file("usr/lib/kairos/bootloader/efi/shimx64.efi.signed", "SHIM"),
			symlink("usr/lib/kairos/bootloader/efi/shimx64.efi", "shimx64.efi.signed"),
			file("usr/share/grub", "GRUB"), hardlink("usr/lib/kairos/bootloader/efi/grubx64.efi", "usr/share/grub"),
			file("usr/lib/kairos/bootloader/gone", "x"),
		},
		[]row{file("usr/lib/kairos/bootloader/.wh.gone", ""), file("etc/kairos-release", "# c\n\nA=1\nB='two words'\nC=\"a \\\"q\\\" $\"\nD=\n")})
	if err != nil {
		t.Fatal(err)
	}
	want := &Image{
		Tree: image.Tree, Kernel: []byte("NEWKERNEL"), Initrd: []byte("NEWINITRD"), Cmdline: "console=ttyS0 quiet",
		Release: map[string]string{"A": "1", "B": "two words", "C": `a "q" $`, "D": ""},
		Bootloader: map[string][]byte{
			"bios/core.img": []byte("CORE"), "efi/shimx64.efi.signed": []byte("SHIM"), "efi/shimx64.efi": []byte("SHIM"), "efi/grubx64.efi": []byte("GRUB"),
		},
	}
	if diff := cmp.Diff(want, image); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A testLoader accepts arguments on one line.
type testLoader struct{}

func (testLoader) CheckCmdline(line string) error {
	if strings.Contains(line, "\n") {
		return errors.New("two lines in " + layout.ImageCmdline)
	}
	return nil
}

func (testLoader) Files(kernel, initrd []byte, args string) []fat32.File {
	return []fat32.File{{Path: "START", Data: fmt.Appendf(nil, "%s %s %s", kernel, initrd, args)}}
}

// TestBootFiles: the slot's label comes after the files of the boot loader.
func TestBootFiles(t *testing.T) {
	image := &Image{Kernel: []byte("K"), Initrd: []byte("I"), Digest: "sha256:01", Release: map[string]string{"KAIROS_VERSION": "v1"}, Tree: verity.Tree{RootHash: [32]byte{0xab, 31: 0xcd}, HashOffset: 8192}}
	hash := "ab" + strings.Repeat("0", 60) + "cd"
	label := fat32.File{Path: "SLOT.TXT", Data: []byte("VERSION=v1\nDIGEST=sha256:01\nROOTHASH=" + hash + "\n")}
	for cmdline, want := range map[string]string{"": "", "quiet  a=b": " quiet  a=b"} {
		image.Cmdline = cmdline
		start := fat32.File{Path: "START", Data: []byte("K I kairos.roothash=" + hash + " kairos.hashoffset=8192" + want)}
		if diff := cmp.Diff([]fat32.File{start, label}, image.BootFiles(testLoader{})); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

func TestMissing(t *testing.T) {
	for _, test := range []struct {
		name string
		rows []row
		want error
		text string
	}{
		{"kernel", []row{file("boot/.wh.vmlinuz", "")}, ErrNoKernel, "/boot/vmlinuz"},
		{"initrd", []row{file("boot/.wh.initrd", "")}, ErrNoInitrd, "/boot/initrd"},
		{"release", []row{file("etc/.wh.kairos-release", "")}, ErrNoRelease, "/etc/kairos-release"},
		{"empty kernel", []row{file("boot/vmlinuz", "")}, ErrNoKernel, "empty"},
		{"kernel is a directory", []row{dir("boot/vmlinuz")}, ErrNoKernel, "/boot/vmlinuz"},
		{"kernel is a pipe", []row{{flag: tar.TypeFifo, name: "boot/vmlinuz"}}, ErrNoKernel, "/boot/vmlinuz"},
		{"dangling link", []row{symlink("boot/vmlinuz", "vmlinuz-6")}, ErrNoKernel, "/boot/vmlinuz: it is a link to /boot/vmlinuz-6"},
		{"link that leads out", []row{symlink("boot/vmlinuz", "../../../etc/passwd"), file("etc/passwd", "x")}, ErrNoKernel, "link to /etc/passwd"},
		{"link loop", []row{symlink("boot/vmlinuz", "vmlinuz")}, ErrNoKernel, "too many symbolic links"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := write(t, test.rows)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), "is this a kairos-build image?") {
				t.Errorf("Write: %v", err)
			}
		})
	}
	_, err := Write(t.Context(), tempFile(t), layersOf(t, [][]row{{file("a", "")}}), testLoader{})
	for _, want := range []error{ErrNoKernel, ErrNoInitrd, ErrNoRelease} {
		if !errors.Is(err, want) {
			t.Errorf("an empty image: %v lacks %v", err, want)
		}
	}
}

func TestBadLayers(t *testing.T) {
	set := func(f func(*tar.Header)) row { return file("x", "").with(f) }
	for _, test := range []struct {
		name   string
		layers [][]row
		want   error
		text   string
	}{
		{"dots", [][]row{{file("../x", "")}}, ErrBadEntry, `layer 1`},
		{"dots inside", [][]row{{file("a/../../x", "")}}, ErrBadEntry, `"a/../../x"`},
		{"long name", [][]row{{file(strings.Repeat("n", 300), "")}}, fs.ErrInvalid, "255"},
		{"long path", [][]row{{file(strings.Repeat("n/", 3000)+"n", "")}}, ErrBadEntry, "4095"},
		{"root is a file", [][]row{{symlink("./", "x")}}, ErrBadEntry, "root"},
		{"whiteout of nothing", [][]row{{file("a/.wh.", "")}}, ErrBadEntry, "whiteout"},
		{"whiteout of the parent", [][]row{{file("a/.wh...", "")}}, ErrBadEntry, "whiteout"},
		{"below a link in the same layer", [][]row{{symlink("a", "/etc"), file("a/b", "")}}, ErrBadEntry, "parents"},
		{"below a link of a lower layer", [][]row{{symlink("a", "etc")}, {file("a/b", "")}}, ErrBadEntry, "layer 2 has entries below"},
		{"directory and file", [][]row{{dir("a"), file("a", "")}}, ErrBadEntry, "twice"},
		{"file and directory", [][]row{{file("a", ""), dir("a")}}, ErrBadEntry, "twice"},
		{"hard link out", [][]row{{hardlink("a", "../../etc/shadow")}}, ErrBadEntry, "etc/shadow"},
		{"hard link to nothing", [][]row{{hardlink("a", "nothing")}}, ErrBadEntry, `"nothing"`},
		{"hard link to itself", [][]row{{hardlink("a", "a")}}, ErrBadEntry, "itself"},
		{"hard link circle", [][]row{{hardlink("a", "b"), hardlink("b", "c"), hardlink("c", "a")}}, ErrBadEntry, "itself"},
		{"hard link to a directory", [][]row{{dir("d"), hardlink("a", "d")}}, ErrBadEntry, `"d"`},
		{"hard link to a lower directory", [][]row{{dir("d")}, {hardlink("a", "d")}}, ErrBadEntry, "directory"},
		{"hard link to what the layer removes", [][]row{{file("d/f", "")}, {hardlink("a", "d/f"), file(".wh.d", "")}}, ErrBadEntry, `layer 2`},
		{"hard link to what a layer between removes", [][]row{{file("d/f", "")}, {file("d/.wh..wh..opq", "")}, {hardlink("a", "d/f")}}, ErrBadEntry, `layer 2`},
		{"hard link to what a layer between replaces", [][]row{{file("d/f", "")}, {file("d", "")}, {hardlink("a", "d/f")}}, ErrBadEntry, `layer 2`},
		{"uid", [][]row{{set(func(h *tar.Header) { h.Uid = 1 << 33 })}}, ErrBadEntry, "uid"},
		{"uid that stands for none", [][]row{{set(func(h *tar.Header) { h.Uid = math.MaxUint32 })}}, ErrBadEntry, "uid"},
		{"device outside of /dev", [][]row{{{flag: tar.TypeChar, name: "srv/disk"}}}, ErrPower, "a device outside of /dev"},
		{"whiteout of overlayfs", [][]row{{{flag: tar.TypeChar, name: "etc/shadow"}}}, ErrPower, "a device outside of /dev"},
		{"attribute of overlayfs", [][]row{{{flag: tar.TypeDir, name: "etc/", edit: func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/oem"} }}}}, ErrPower, "trusted.overlay.redirect"},
		{"device", [][]row{{{flag: tar.TypeChar, name: "dev/d", edit: func(h *tar.Header) { h.Devmajor, h.Format = 1<<20, tar.FormatGNU }}}}, fs.ErrInvalid, "device number"},
		{"xattr", [][]row{{set(func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.system.nfs4_acl": "x"} })}}, fs.ErrInvalid, "nfs4_acl"},
		{"mount point", [][]row{{symlink("usr/local", "../var/local")}}, nil, "/usr/local"},
		{"release", [][]row{{file("etc/kairos-release", "A=1\nB\nC='x\nD=a b\nE=\"x\"y\n2=3\n")}}, ErrBadRelease, "line 6"},
		{"release that is too large", [][]row{{file("etc/kairos-release", strings.Repeat("#", 70000))}}, ErrTooLarge, "70000"},
		{"cmdline of two lines", [][]row{{file("usr/lib/kairos/cmdline", "a\nb")}}, ErrBadCmdline, "usr/lib/kairos/cmdline"},
		{"cmdline with a reserved argument", [][]row{{file("usr/lib/kairos/cmdline", "kairos.roothash=00")}}, ErrBadCmdline, "kairos.roothash"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := write(t, test.layers...)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("Write: %v, want %v with %q", err, test.want, test.text)
			}
		})
	}
}

func TestKernelIsTooLarge(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "boot/vmlinuz", Size: maxBootFile + 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, io.LimitReader(zeros{}, maxBootFile+1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Write(t.Context(), tempFile(t), append(layersOf(t, [][]row{base()}), layerOf(b.Bytes())), testLoader{})
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "/boot/vmlinuz") {
		t.Errorf("Write: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestTruncatedLayer(t *testing.T) {
	full := tarOf(t, append(base(), file("a", strings.Repeat("x", 100000))))
	for _, n := range []int{100, 700, 3000, 60000} {
		if _, err := Write(t.Context(), tempFile(t), []Layer{layerOf(full[:n])}, testLoader{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

// badSum fails at the end, as a reader that checks a digest does.
type badSum struct{ io.Reader }

func (b badSum) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errSum
	}
	return n, err
}
func (badSum) Close() error { return errClose }

var errSum, errClose = errors.New("wrong digest"), errors.New("closing")

func TestErrorsOfTheStreamAreReported(t *testing.T) {
	content := tarOf(t, base())
	l := Layer{DiffID: "sha256:x", Open: func() (io.ReadCloser, error) { return badSum{bytes.NewReader(content)}, nil }}
	if _, err := Write(t.Context(), tempFile(t), []Layer{l}, testLoader{}); !errors.Is(err, errSum) || !errors.Is(err, errClose) {
		t.Errorf("Write: %v", err)
	}
	l.Open = func() (io.ReadCloser, error) { return nil, os.ErrPermission }
	if _, err := Write(t.Context(), tempFile(t), []Layer{l}, testLoader{}); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "layer 0 (sha256:x)") {
		t.Errorf("Write: %v", err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, tempFile(t), layersOf(t, [][]row{base()}), testLoader{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Write: %v", err)
	}
}

type fullDisk struct{ *os.File }

var errFull = errors.New("no space left on device")

func (fullDisk) WriteAt([]byte, int64) (int, error) { return 0, errFull }

func TestFullDisk(t *testing.T) {
	if _, err := Write(t.Context(), fullDisk{tempFile(t)}, layersOf(t, [][]row{base()}), testLoader{}); !errors.Is(err, errFull) {
		t.Errorf("Write: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	a, b := Layer{DiffID: "sha256:a"}, Layer{DiffID: "sha256:b"}
	if Identity([]Layer{a, b}) == Identity([]Layer{b, a}) || Identity([]Layer{a}) == Identity([]Layer{a, b}) {
		t.Error("different layers have the same identity")
	}
	if got, want := Identity([]Layer{a, b}), sha256.Sum256([]byte("kairos-root-v1\nsha256:a\nsha256:b")); got != want {
		t.Errorf("Identity = %x, want %x", got, want)
	}
}

func TestTwiceIsEqualAndVerifies(t *testing.T) {
	layers := layersOf(t, append([][]row{base()}, rows(layerstest.Random(35))...))
	var images [2][]byte
	for i := range images {
		f := tempFile(t)
		image, err := Write(t.Context(), f, layers, testLoader{})
		if err != nil {
			t.Fatal(err)
		}
		if err := verity.Verify(t.Context(), f, image.Tree); err != nil {
			t.Fatal(err)
		}
		if images[i], err = os.ReadFile(f.Name()); err != nil {
			t.Fatal(err)
		}
		if int64(len(images[i])) != image.Tree.Size {
			t.Errorf("%d bytes, the tree says %d", len(images[i]), image.Tree.Size)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two images of the same layers differ")
	}
}
