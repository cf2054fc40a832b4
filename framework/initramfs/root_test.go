// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// rootFile returns a root partition with that many blocks of data, and the kernel
// arguments for it.
func rootFile(t *testing.T, blocks int) (path string, a arguments) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "root")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(blocks) * verity.BlockSize
	if _, err := f.WriteAt([]byte(strings.Repeat("data", int(size)/4)), 0); err != nil {
		t.Fatal(err)
	}
	tree, err := verity.Write(t.Context(), f, size, verity.Params{Salt: [32]byte{1, 2, 3}, UUID: [16]byte{9}})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	a = goodArguments(t)
	a.RootHash, a.HashOffset = tree.RootHash, tree.HashOffset
	return path, a
}

func TestReadSuperblock(t *testing.T) {
	for _, blocks := range []int{1, 2, 200} {
		path, a := rootFile(t, blocks)
		b := &boot{args: a}
		s, err := readSuperblock(path, b.args)
		if err != nil || s.DataBlocks != int64(blocks) || s.UUID[0] != 9 {
			t.Errorf("%d blocks: got %+v, %v", blocks, s, err)
		}
	}
}

func TestReadSuperblockMistakes(t *testing.T) {
	path, a := rootFile(t, 200)
	tests := []struct {
		name   string
		change func(a *arguments)
		want   error
		text   string
	}{
		{"another hash", func(a *arguments) { a.RootHash[0] ^= 1 }, verity.ErrCorrupt, "of another image"},
		{"another offset", func(a *arguments) { a.HashOffset -= verity.BlockSize }, verity.ErrNoSuperblock, ""},
		{"behind the end", func(a *arguments) { a.HashOffset += 1 << 40 }, verity.ErrNoSuperblock, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &boot{args: a}
			test.change(&b.args)
			if _, err := readSuperblock(path, b.args); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
		})
	}
}

// TestSuperblockOfAnotherSize: the kernel arguments give the size of the root.
func TestSuperblockOfAnotherSize(t *testing.T) {
	path, a := rootFile(t, 200)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[3*verity.BlockSize:], data[a.HashOffset:a.HashOffset+verity.BlockSize])
	a.HashOffset = 3 * verity.BlockSize
	_, err = checkRoot(bytes.NewReader(data), a)
	if want := "its verity superblock is for 200 blocks, the kernel command line says 3"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestVerityUUID(t *testing.T) {
	want := "CRYPT-VERITY-09000000000000000000000000000000-kairos-root"
	if got := verityUUID([16]byte{9}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestChooseInit(t *testing.T) {
	root := t.TempDir()
	if _, err := chooseInit(root, ""); err == nil {
		t.Error("an empty root has an init")
	}
	if err := os.MkdirAll(filepath.Join(root, "sbin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/lib/systemd/systemd", filepath.Join(root, "sbin/init")); err != nil {
		t.Fatal(err)
	}
	if got, err := chooseInit(root, ""); got != "/sbin/init" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := chooseInit(root, "/bin/none"); err == nil {
		t.Error("init=/bin/none was taken")
	}
	if got, err := chooseInit(root, "/sbin"); got != "/sbin" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPlainDir(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc/ssh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/var/home", filepath.Join(root, "home")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path   string
		exists bool
		err    string
	}{
		{"/etc/ssh", true, ""},
		{"/etc/none", false, ""},
		{"/none/at/all", false, ""},
		{"/home", false, "/home is not a directory in this image"},
		{"/home/user", false, "/home is not a directory in this image"},
		{"/file", false, "/file is not a directory in this image"},
	}
	for _, test := range tests {
		exists, err := plainDir(root, test.path)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if exists != test.exists || text != test.err {
			t.Errorf("plainDir(%s) = %v, %q, want %v, %q", test.path, exists, text, test.exists, test.err)
		}
	}
}

func TestBelowEphemeral(t *testing.T) {
	for path, want := range map[string]bool{"/var/lib/etcd": true, "/etc/cni": true, "/home": false, "/usr/libexec": false, "/etcetera": false} {
		if got := belowEphemeral(path); got != want {
			t.Errorf("belowEphemeral(%s) = %v, want %v", path, got, want)
		}
	}
}

func TestMachineID(t *testing.T) {
	file := filepath.Join(t.TempDir(), "machine-id")
	if _, err := readMachineID(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v, want that there is none", err)
	}
	id := newMachineID()
	if id == newMachineID() {
		t.Error("two ids are equal")
	}
	if err := durable.Write(file, []byte(id+"\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	if got, err := readMachineID(file); got != id || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, id)
	}
	for _, text := range []string{"", "uninitialized\n", strings.Repeat("G", 32), strings.Repeat("A", 32)} {
		if err := replaceFile(file, text); err != nil {
			t.Fatal(err)
		}
		if got, err := readMachineID(file); err == nil {
			t.Errorf("%q was read as %q", text, got)
		}
	}
}

// TestReplaceFile: a link of the image is replaced, and its target stays.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	file, target := filepath.Join(dir, "file"), filepath.Join(dir, "target")
	if err := errors.Join(os.WriteFile(target, []byte("old"), 0o644), os.Symlink(target, file)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"new", "newer"} {
		if err := replaceFile(file, text); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{file: text, target: "old"} {
			if got, err := os.ReadFile(path); string(got) != want || err != nil {
				t.Errorf("%s holds %q, %v, want %q", path, got, err, want)
			}
		}
	}
	if err := replaceFile(filepath.Join(file, "below"), "x"); err == nil {
		t.Error("a file below a file was written")
	}
}

func TestLayoutEnv(t *testing.T) {
	got := strings.Split(layoutEnv(), "\n")
	want := []string{
		`VOLUMES="LABEL=COS_OEM:/oem LABEL=COS_PERSISTENT:/usr/local"`,
		`OVERLAY="tmpfs:25%"`,
		`RW_PATHS="/etc /media /mnt /srv /var"`,
	}
	if diff := cmp.Diff(want, got[:3]); diff != "" {
		t.Errorf("layout (-want +got):\n%s", diff)
	}
	if got[4] != `PERSISTENT_STATE_TARGET="/usr/local/.state"` || len(got) != 7 || got[6] != "" {
		t.Errorf("layout ends with %q", got[3:])
	}
}

func TestWarningsAreKept(t *testing.T) {
	b := &boot{log: slog.New(slog.DiscardHandler), args: goodArguments(t), table: tableWith(testDiskID(t))}
	b.disk.Name, b.disk.Path = "sdd", "/dev/sdd"
	copies := []match{{candidate: testCandidates(t)[4]}}
	b.warnOfCopies(nil)
	b.personal = true // then the other disk is no copy any more
	b.warnOfCopies(copies)
	b.personal = false
	b.warnOfCopies(copies)
	b.warnOfCopies(copies)
	b.warnOfCopies(nil)
	if len(b.state.Warnings) != 1 || !strings.HasPrefix(b.state.Warnings[0], "/dev/sdd and /dev/sde have the same identity") ||
		!strings.Contains(b.state.Warnings[0], "`sfdisk --part-uuid /dev/sde 2 ") {
		t.Errorf("warnings: %q", b.state.Warnings)
	}
}

func TestPersistent(t *testing.T) {
	b := new(boot)
	b.mounted("/usr/local", thisboot.MountFallback, "tmpfs", "tmpfs", false)
	if b.persistent() {
		t.Error("a stand-in in memory counts as persistent")
	}
	b = new(boot)
	b.mounted("/usr/local", thisboot.MountData, "/dev/vda10", "ext4", false)
	if !b.persistent() {
		t.Error("the partition does not count as persistent")
	}
}
