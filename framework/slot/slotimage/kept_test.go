// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

func TestCmdlineOfAnImage(t *testing.T) {
	const name = "usr/lib/kairos/cmdline"
	for _, test := range []struct {
		name string
		rows []row
		want string
	}{
		{"none", nil, ""},
		{"empty file", []row{file(name, "")}, ""},
		{"white space", []row{file(name, " \n")}, ""},
		{"file", []row{file(name, "quiet\n")}, "quiet"},
		{"link", []row{symlink(name, "/boot/cmdline"), file("boot/cmdline", "quiet\n")}, "quiet"},
	} {
		image, _, err := write(t, test.rows)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if image.Cmdline != test.want {
			t.Errorf("%s: got %q, want %q", test.name, image.Cmdline, test.want)
		}
	}
}

// TestLargestTextFile: the limit itself is no error.
func TestLargestTextFile(t *testing.T) {
	image, _, err := write(t, []row{file("etc/kairos-release", "A=1\n"+strings.Repeat("#", maxTextFile-4))})
	if err != nil || image.Release["A"] != "1" {
		t.Errorf("Write: %v, %v", image, err)
	}
}

// TestMemoryLimit: all files that are held in memory together have a limit.
func TestMemoryLimit(t *testing.T) {
	const left = 10
	for size, want := range map[int]error{left: nil, left + 1: ErrTooLarge} {
		k := newKept()
		k.total = maxKept - left
		e := erofs.Entry{Path: "boot/vmlinuz", Mode: erofs.ModeRegular, Size: int64(size)}
		if _, err := k.take(e, strings.NewReader(strings.Repeat("k", size)), []string{e.Path}); err != nil {
			t.Fatal(err)
		}
		if _, err := k.file("/"+e.Path, ErrNoKernel); !errors.Is(err, want) {
			t.Errorf("%d bytes where %d are left: got %v, want %v", size, left, err, want)
		}
	}
}

// TestLinkToReplacedFile: the layer is read a second time for the boot loader, and its
// hard link with the name of the first file is skipped.
func TestLinkToReplacedFile(t *testing.T) {
	image, f, err := write(t, []row{
		file("c", "new"), file("a", "old"), hardlink("usr/lib/kairos/bootloader/x", "a"), hardlink("a", "c"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(image.Bootloader["x"]); got != "old" {
		t.Errorf("the boot loader has %q, want the file that its layer had before", got)
	}
	if got := content(t, f, "a"); got != "new" {
		t.Errorf("a holds %q", got)
	}
}

// TestLayerThatChanges: a layer that is read a second time must still have its files.
func TestLayerThatChanges(t *testing.T) {
	contents := [][]byte{
		tarOf(t, append(base(), file("a", "1"), hardlink("usr/lib/kairos/bootloader/x", "a"))),
		tarOf(t, base()),
	}
	l := Layer{DiffID: "sha256:x", Open: func() (io.ReadCloser, error) {
		content := contents[0]
		contents = contents[1:]
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
	_, err := Write(t.Context(), tempFile(t), []Layer{l}, testLoader{})
	if err == nil || !strings.Contains(err.Error(), `"a": it was there when the layer was read first and is gone the second time`) {
		t.Errorf("Write: %v", err)
	}
}
