// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package squashfs

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestUnsquashfs lets squashfs-tools read every inode and every byte.
func TestUnsquashfs(t *testing.T) {
	if _, err := exec.LookPath("unsquashfs"); err != nil {
		t.Fatal("unsquashfs is not on PATH: apt install squashfs-tools")
	}
	f := write(t, everything())
	to := filepath.Join(t.TempDir(), "tree")
	out, err := exec.CommandContext(t.Context(), "unsquashfs", "-strict-errors", "-no-progress", "-dest", to, f.Name()).CombinedOutput()
	if err != nil {
		t.Fatalf("unsquashfs: %v\n%.3000s", err, out)
	}
	compare(t, to)
}

// TestMount compares the files that Linux shows with the entries that were added. It needs
// root and a loop device.
func TestMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("mounting needs root: run this test as root")
	}
	at := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "squashfs", "-o", "ro,loop", write(t, everything()).Name(), at).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	compare(t, at)
	if _, err := os.Lstat(filepath.Join(at, "many", "nothing")); !os.IsNotExist(err) {
		t.Errorf("looking up a name that is not there: %v", err)
	}
}

func compare(t *testing.T, root string) {
	t.Helper()
	want := expected(everything())
	got := map[string]seen{}
	err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		got[rel], err = lookDisk(p, want[rel])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if diff := cmp.Diff(want[p], got[p]); diff != "" {
			t.Errorf("%.40q: -want +got\n%.2000s", p, diff)
		}
		delete(got, p)
	}
	if len(got) > 0 {
		t.Errorf("there is also %v", got)
	}
}

func lookDisk(p string, want seen) (seen, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return seen{}, err
	}
	s := seen{Mode: st.Mode, UID: st.Uid, GID: st.Gid, MTime: st.Mtim.Sec, Nlink: uint32(st.Nlink), Rdev: uint32(st.Rdev&0xff | st.Rdev>>8<<8&0xfff00 | st.Rdev&^0xfffff)}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		var data []byte
		data, err = os.ReadFile(p)
		s.Size, s.Content = st.Size, fmt.Sprintf("%x", sha256.Sum256(data))
	case unix.S_IFLNK:
		s.Content, err = os.Readlink(p)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR { // a directory on another file system may have other links
		s.Nlink = want.Nlink
	}
	if err != nil {
		return s, err
	}
	list := make([]byte, 1<<16)
	size, err := unix.Llistxattr(p, list)
	if err != nil {
		return s, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:size]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			return s, err
		}
		if s.Xattrs == nil {
			s.Xattrs = map[string]string{}
		}
		s.Xattrs[name] = string(value[:n])
	}
	return s, nil
}
