// SPDX-License-Identifier: Apache-2.0

package diff

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/erofs/go-erofs"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

func entry(name string, kind byte, mode int64, link, text string) testimage.Entry {
	return testimage.Entry{Header: tar.Header{Typeflag: kind, Name: name, Mode: mode, Linkname: link, Uid: 0, Gid: 0}, Content: text}
}

func file(name, text string) testimage.Entry { return testimage.File(name, text) }

// layersOf are the layers of an image.
func layersOf(t *testing.T, layers ...[]testimage.Entry) []slotimage.Layer {
	t.Helper()
	image, err := testimage.Image(layers...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := source.Layers(image, nil)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// base is the lowest layer of the images: a bootable root.
func base() []testimage.Entry {
	return []testimage.Entry{
		file("boot/vmlinuz", "kernel"), file("boot/initrd", "initrd"),
		file("etc/kairos-release", testimage.ReleaseText(testimage.Release())),
		file("usr/lib/kairos/cmdline", "quiet\n"),
		entry("lib", tar.TypeSymlink, 0o777, "usr/lib", ""),
		file("usr/lib/a/one", "1"), file("usr/lib/a/two", "22"), file("usr/lib/tool", "tool"),
		file("usr/bin/gone", "gone"), file("etc/conf", "old"),
		entry("usr/bin/su", tar.TypeReg, 0o4755, "", "su"),
		file("usr/lib/modules/6.1/config", "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n"),
		file("usr/lib/systemd/system/one.service", "[Unit]\n"),
		file("var/lib/dpkg/info/tool:amd64.list", "/.\n/lib\n/lib/tool\n/usr/bin/gone\n"),
	}
}

// change is a layer on top with every kind of change.
func change() []testimage.Entry {
	return []testimage.Entry{
		file("usr/bin/.wh.gone", ""),
		file("usr/lib/a/.wh..wh..opq", ""), file("usr/lib/a/two", "two"),
		entry("etc/conf", tar.TypeReg, 0o600, "", "new"),
		entry("usr/bin/su", tar.TypeReg, 0o755, "", "su"),
		entry("usr/bin/ping", tar.TypeReg, 0o2755, "", "ping"),
		entry("usr/bin/alias", tar.TypeLink, 0, "usr/bin/ping", ""),
		entry("etc/systemd/system/multi-user.target.wants/one.service", tar.TypeSymlink, 0o777, "/usr/lib/systemd/system/one.service", ""),
		file("usr/lib/modules/6.1/config", "CONFIG_A=y\nCONFIG_C=y\n"),
		file("usr/lib/tool", "a longer tool"),
	}
}

func sides(t *testing.T) (a, b *Side) {
	t.Helper()
	lower := base()
	trees, err := ReadImages(t.Context(), layersOf(t, lower), layersOf(t, lower, change()))
	if err != nil {
		t.Fatal(err)
	}
	a = &Side{Ref: "a", Digest: "sha256:aa", Release: map[string]string{"KAIROS_VERSION": "v1.0.0"}, Tree: trees[0], Layers: []Layer{{"sha256:1", 1000}},
		Packages: []packages.Installed{{Name: "tool", Version: "1", Arch: "amd64"}, {Name: "gone", Version: "1", Arch: "all"}}}
	b = &Side{Ref: "b", Digest: "sha256:bb", Release: map[string]string{"KAIROS_VERSION": "v1.1.0", "KAIROS_SOFTWARE_VERSION": "v1.34.1+k3s1"}, Tree: trees[1], Layers: []Layer{{"sha256:1", 1000}, {"sha256:2", 200 << 10}},
		Packages: []packages.Installed{{Name: "tool", Version: "2", Arch: "amd64"}, {Name: "new|er", Version: "1", Arch: "all"}}}
	return a, b
}

// TestCompare: the golden files are what a person and a program see.
func TestCompare(t *testing.T) {
	r := Compare(sides(t))
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/diff.json", string(text)+"\n")
	var b strings.Builder
	if err := r.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/diff.md", b.String())
}

// TestReverse: what is added one way is removed the other way.
func TestReverse(t *testing.T) {
	a, b := sides(t)
	there, back := Compare(a, b), Compare(b, a)
	if there.Files.Added != back.Files.Removed || there.Files.Removed != back.Files.Added || there.Files.Changed != back.Files.Changed {
		t.Errorf("there %+v, back %+v", there.Files, back.Files)
	}
	if n := len(Compare(a, a).Files.List) + len(Compare(a, a).Packages) + len(Compare(a, a).Sizes); n != 0 {
		t.Errorf("an image differs from itself in %d things", n)
	}
	if u := Compare(b, a).Upgrade; u.Bytes != 0 || u.Whole != 1000 {
		t.Errorf("the way back downloads %+v", u)
	}
}

// TestDiskHasTheFilesOfItsImage writes a root image as a builder does, and reads it back: what
// differs is left out on both sides.
func TestDiskHasTheFilesOfItsImage(t *testing.T) {
	a, _ := sides(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := slotimage.Write(t.Context(), f, layersOf(t, base()), bootconf.Loader{}); err != nil {
		t.Fatal(err)
	}
	root, err := erofs.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := ReadRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	r := Compare(&Side{Ref: "disk", Tree: tree}, a)
	if diff := cmp.Diff([]FileChange{}, r.Files.List); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if !tree.setID("/usr/bin/su") || len(r.Notes) != 2 || r.Upgrade.Bytes != 0 {
		t.Errorf("set-user-ID %v, notes %v", tree.setID("/usr/bin/su"), r.Notes)
	}
}

// TestHardLinkToNothing: a broken image is an error, not half a comparison.
func TestHardLinkToNothing(t *testing.T) {
	_, err := ReadImages(t.Context(), layersOf(t, []testimage.Entry{entry("a", tar.TypeLink, 0, "b", "")}))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "hard link a to b, which is not there") {
		t.Errorf("got %v", err)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 10239: "10239 B", 10240: "10.0 KiB", 20 << 20: "20.0 MiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	if got := signed(-5); got != "-5 B" {
		t.Errorf("got %s", got)
	}
}

// TestBySize: the files of a package, and those of none.
func TestBySize(t *testing.T) {
	tree := Tree{
		Entries: map[string]Entry{"usr/bin/a": {Size: 3}, "usr/bin/b": {Size: 4}, "etc/x": {Size: 5}, "usr": {Mode: fs.ModeDir, Size: 100}},
		Kept:    map[string][]byte{"var/lib/dpkg/info/tools.list": []byte("/usr\n/usr/bin/a\n/usr/bin/b\n")},
	}
	if diff := cmp.Diff([]PackageSize{{"tools", 7}, {"", 5}}, tree.BySize()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
