// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package ext4_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// run runs a program of e2fsprogs or util-linux and returns its standard output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// fsck fails unless e2fsck finds nothing at all to repair.
func fsck(t *testing.T, path string) {
	t.Helper()
	// e2fsck asks about a bad resize inode, but still exits with 0.
	if out := run(t, "e2fsck", "-fn", path); strings.Contains(out, "? no") {
		t.Errorf("e2fsck found something to repair:\n%s", out)
	}
}

func imageFile(t *testing.T, size int64, entries []ext4.Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fs.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := ext4.Write(f, size, entries, options()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestE2fsckIsClean(t *testing.T) {
	wide := append(sample(), ext4.Entry{Path: strings.Repeat("w", 255), Data: []byte("x")})
	spread := append(sample(), ext4.Entry{Path: "spread", Data: bytes.Repeat([]byte("x"), 200*mib)})
	tests := []struct {
		size    int64
		entries []ext4.Entry
	}{
		{16 * mib, nil}, {16*mib + 5000, sample()}, {64 * mib, wide},
		{128 * mib, sample()}, {130 * mib, sample()}, // a last group too small to keep
		{512 * mib, spread}, {2048 * mib, spread},
		{10 << 30, sample()}, // more than one block of descriptors
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.size), func(t *testing.T) { fsck(t, imageFile(t, tt.size, tt.entries)) })
	}
}

// TestE2fsckFindsDamage: e2fsck finds a damaged byte of metadata by its checksum.
func TestE2fsckFindsDamage(t *testing.T) {
	path := imageFile(t, 64*mib, sample())
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{0xFF}, 4096+0x1A)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "e2fsck", "-fn", path).CombinedOutput(); err == nil {
		t.Errorf("e2fsck saw no damage in a group descriptor:\n%s", out)
	}
}

func TestDebugfsLists(t *testing.T) {
	path := imageFile(t, 64*mib, sample())
	list := run(t, "debugfs", "-R", "ls -p /cloud-config", path)
	if want := "/100600/0/0/90_user.yaml/29/"; !strings.Contains(list, want) {
		t.Errorf("no %q in:\n%s", want, list)
	}
	if got := run(t, "debugfs", "-R", "cat /cloud-config/90_user.yaml", path); got != string(sample()[0].Data) {
		t.Errorf("read %q", got)
	}
}

// TestGrowsOffline grows images with resize2fs, which reads the resize inode without
// a kernel.
func TestGrowsOffline(t *testing.T) {
	for _, size := range []int64{16 * mib, 64 * mib, 512 * mib} {
		path := imageFile(t, size, sample())
		run(t, "resize2fs", path, "20G")
		fsck(t, path)
	}
}

// ioctlResize is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64): the new size in blocks.
const ioctlResize = 0x40086610

// TestGrowsMounted mounts an image, grows it to 100 GiB and writes to it, as a
// node does at its first boot.
func TestGrowsMounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root: run `sudo make e2e`")
	}
	path, grown := imageFile(t, 64*mib, sample()), int64(100<<30)
	dir := t.TempDir()
	run(t, "mount", "-o", "loop", path, dir)
	unmount := func() { run(t, "umount", dir) }
	t.Cleanup(func() {
		if unmount != nil {
			unmount()
		}
	})
	checkMounted(t, dir)
	t.Run("grow", func(t *testing.T) { grow(t, dir, path, grown) })
	unmount()
	unmount = nil
	fsck(t, path)
}

func checkMounted(t *testing.T, dir string) {
	t.Helper()
	for _, e := range sample() {
		got, err := os.ReadFile(filepath.Join(dir, e.Path))
		if !e.Dir && (err != nil || !bytes.Equal(got, e.Data)) {
			t.Errorf("%s: read %d of %d bytes: %v", e.Path, len(got), len(e.Data), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "written"), make([]byte, 20*mib), 0o600); err != nil {
		t.Error(err)
	}
}

func grow(t *testing.T, dir, path string, size int64) {
	if !mayResize(t) {
		t.Skip("SKIPPED: no CAP_SYS_RESOURCE here, so the kernel refuses to grow; first boots in ci/acceptance show it")
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	run(t, "losetup", "--set-capacity", strings.TrimSpace(run(t, "findmnt", "-no", "SOURCE", dir)))
	blocks := uint64(size / 4096)
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), ioctlResize, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		t.Fatalf("EXT4_IOC_RESIZE_FS to %d blocks: %v", blocks, errno)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || int64(st.Blocks)*st.Bsize < size*9/10 {
		t.Errorf("the file system has %d blocks of %d bytes after growing to %d: %v", st.Blocks, st.Bsize, size, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "after"), make([]byte, 300*mib), 0o600); err != nil {
		t.Error(err)
	}
}

func mayResize(t *testing.T) bool {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}
