// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package erofs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFsck lets erofs-utils read every inode and every byte.
func TestFsck(t *testing.T) {
	if _, err := exec.LookPath("fsck.erofs"); err != nil {
		t.Fatal("fsck.erofs is not on PATH: apt install erofs-utils")
	}
	f := tempImage(t, Options{BuildTime: buildTime}, func(w *Writer) { add(t, w, everything()) })
	to := filepath.Join(t.TempDir(), "tree")
	out, err := exec.CommandContext(t.Context(), "fsck.erofs", "-d9", "--extract="+to, f.Name()).CombinedOutput()
	if err != nil {
		t.Fatalf("fsck.erofs: %v\n%.3000s", err, out)
	}
	want := expected(everything(), Options{BuildTime: buildTime})
	for path, n := range readDisk(t, to) {
		if n.Type.IsRegular() && n.Content != want[path].Content {
			t.Errorf("fsck.erofs extracted another content for %q", path)
		}
		delete(want, path)
	}
	if len(want) != 0 {
		t.Errorf("fsck.erofs did not extract %v", want)
	}
}

// TestMount compares the files that Linux shows with the entries that were added. It
// needs root and a loop device.
func TestMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("mounting needs root: run this test as root")
	}
	for _, o := range []Options{{BuildTime: buildTime}, {BuildTime: 1, InlineBudget: 1}} {
		f := tempImage(t, o, func(w *Writer) { add(t, w, everything()) })
		at := mount(t, f.Name())
		got := readDisk(t, at)
		if diff := diffNodes(expected(everything(), o), got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if got["usr/bin/ping"].Ino != got["ping6"].Ino || got["bin"].Ino != got["bin2"].Ino {
			t.Error("hard links are not the same inode")
		}
		for path, n := range got {
			if n.Type.IsRegular() && !strings.HasPrefix(path, "many/") {
				continue
			}
			if _, err := os.Lstat(filepath.Join(at, path)); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Lstat(filepath.Join(at, "many", "nothing")); !os.IsNotExist(err) {
			t.Errorf("looking up a name that is not there: %v", err)
		}
	}
}

func mount(t *testing.T, image string) string {
	t.Helper()
	at := t.TempDir()
	if out, err := exec.Command("mount", "-t", "erofs", "-o", "ro,loop", image, at).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return at
}

func readDisk(t *testing.T, root string) map[string]node {
	t.Helper()
	nodes := map[string]node{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		nodes[rel], err = readDiskNode(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

func readDiskNode(path string) (node, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return node{}, err
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return node{}, err
	}
	n := node{
		Mode: st.Mode & 0o7777, Type: fi.Mode().Type(), UID: st.Uid, GID: st.Gid, MTime: st.Mtim.Sec,
		Nsec: uint32(st.Mtim.Nsec), Nlink: int(st.Nlink), Ino: int64(st.Ino), Size: st.Size,
	}
	switch {
	case n.Type.IsDir():
		n.Size = 0
	case n.Type.IsRegular():
		b, err := os.ReadFile(path)
		if err != nil {
			return n, err
		}
		n.Content = hashOf(b)
	case n.Type == fs.ModeSymlink:
		n.Content, err = os.Readlink(path)
	default:
		n.Rdev = uint32(st.Rdev&0xff | st.Rdev>>8<<8&0xfff00 | st.Rdev&^0xfffff)
	}
	if err == nil {
		n.Xattrs, err = diskXattrs(path)
	}
	return n, err
}

func diskXattrs(path string) (map[string]string, error) {
	xattrs := map[string]string{}
	list := make([]byte, 1<<16)
	size, err := unix.Llistxattr(path, list)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:size]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, err
		}
		xattrs[name] = string(value[:n])
	}
	return xattrs, nil
}
