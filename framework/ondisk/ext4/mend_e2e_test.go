// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package ext4_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// A mounted is an image that Linux has mounted.
type mounted struct {
	path, dir string
}

// mountImage mounts an image until the test ends or unmount is called.
func mountImage(t *testing.T, path string) (m mounted, unmount func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: run `sudo make e2e`")
	}
	m = mounted{path, t.TempDir()}
	run(t, "mount", "-o", "loop", path, m.dir)
	done := false
	unmount = func() {
		if done {
			return
		}
		done = true
		// Not with run: the context of a test ends before its cleanups.
		if out, err := exec.Command("umount", m.dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v\n%s", m.dir, err, out)
		}
	}
	t.Cleanup(unmount)
	return m, unmount
}

func (m mounted) write(t *testing.T, name string, size int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), bytes.Repeat([]byte(name), size/len(name)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A moment is a step in the life of a file system, after which its image is
// copied.
type moment struct {
	name string
	act  func(t *testing.T, m mounted)
}

func moments() []moment {
	return []moment{
		{"mounted", func(*testing.T, mounted) {}},
		{"written", func(t *testing.T, m mounted) { m.write(t, "one", mib) }},
		{"written again", func(t *testing.T, m mounted) { m.write(t, "two", mib) }},
		{"removed", func(t *testing.T, m mounted) { remove(t, filepath.Join(m.dir, "one")) }},
		{"read-only", func(t *testing.T, m mounted) { run(t, "mount", "-o", "remount,ro", m.dir) }},
		{"read-write", func(t *testing.T, m mounted) { run(t, "mount", "-o", "remount,rw", m.dir) }},
		{"labelled", func(t *testing.T, m mounted) { run(t, "e2label", source(t, m), "COS_OEM") }},
		{"orphan", func(t *testing.T, m mounted) {
			f, err := os.Open(filepath.Join(m.dir, "two"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() }) // before the file system is unmounted
			remove(t, f.Name())
		}},
	}
}

func source(t *testing.T, m mounted) string {
	t.Helper()
	return strings.TrimSpace(run(t, "findmnt", "-no", "SOURCE", m.dir))
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A snapshot is the image after a moment.
type snapshot struct {
	name  string
	image []byte
}

func (s snapshot) super() []byte { return s.image[ext4.SuperOffset:][:1024] }

// take copies the image after a sync, with everything that Linux had to write.
func take(t *testing.T, m mounted, name string) snapshot {
	t.Helper()
	if d, err := os.Open(m.dir); err == nil {
		err = unix.Syncfs(int(d.Fd()))
		if closed := d.Close(); err != nil || closed != nil {
			t.Fatal(err, closed)
		}
	}
	b, err := os.ReadFile(m.path)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot{name, b}
}

// live takes a file system through all moments.
func live(t *testing.T, path string) []snapshot {
	t.Helper()
	list := []snapshot{take(t, mounted{path, filepath.Dir(path)}, "new")}
	t.Run("live", func(t *testing.T) {
		m, _ := mountImage(t, path)
		for _, moment := range moments() {
			moment.act(t, m)
			list = append(list, take(t, m, moment.name))
		}
	})
	return append(list, take(t, mounted{path, filepath.Dir(path)}, "unmounted"))
}

// TestMendWhatLinuxWrites: Mend repairs every tear between two superblocks that
// Linux wrote, and Linux mounts the result.
func TestMendWhatLinuxWrites(t *testing.T) {
	list := live(t, imageFile(t, 16*mib, sample()))
	var torn int
	for i, now := range list[1:] {
		old := list[i]
		t.Run(old.name+", "+now.name, func(t *testing.T) {
			torn += checkMended(t, now.image, joined(now.super(), old.super()))
			torn += checkMended(t, old.image, joined(old.super(), now.super()))
		})
	}
	if torn < len(list) {
		t.Errorf("only %d tears in %d moments", torn, len(list))
	}
}

// checkMended returns how many superblocks it had to mend.
func checkMended(t *testing.T, image, super []byte) int {
	t.Helper()
	image = bytes.Clone(image)
	copy(image[ext4.SuperOffset:], super)
	m, err := ext4.Mend(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Super == nil {
		return 0
	}
	path := filepath.Join(t.TempDir(), "mended")
	refuseToMount(t, path, image)
	copy(image[ext4.SuperOffset:], m.Super)
	useImage(t, path, image)
	if m.Group != 0 {
		repair(t, path)
	}
	fsck(t, path)
	return 1
}

// repair runs e2fsck, which exits with 1 after a repair.
func repair(t *testing.T, path string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "e2fsck", "-fy", path)
	if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
}

// refuseToMount checks that Linux does not mount the image before Mend.
func refuseToMount(t *testing.T, path string, image []byte) {
	t.Helper()
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if exec.CommandContext(t.Context(), "mount", "-o", "loop", path, dir).Run() == nil {
		run(t, "umount", dir)
		t.Error("Linux mounts it as it is")
	}
}

// useImage mounts an image, reads its first files and writes.
func useImage(t *testing.T, path string, image []byte) {
	t.Helper()
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	m, unmount := mountImage(t, path)
	defer unmount()
	for _, e := range sample() {
		got, err := os.ReadFile(filepath.Join(m.dir, e.Path))
		if !e.Dir && (err != nil || !bytes.Equal(got, e.Data)) {
			t.Errorf("%s: read %d of %d bytes: %v", e.Path, len(got), len(e.Data), err)
		}
	}
	m.write(t, "after", mib)
}

// TestMendFromCopyMounts: with the copy of the next group, Linux mounts a file
// system that was mounted during the power cut, and replays the journal.
func TestMendFromCopyMounts(t *testing.T) {
	path := imageFile(t, twoGroups, sample())
	var cut snapshot
	t.Run("live", func(t *testing.T) {
		m, _ := mountImage(t, path)
		m.write(t, "written", 2*mib)
		cut = take(t, m, "written")
	})
	super := bytes.Clone(cut.super())
	super[0x300] = 1
	if n := checkMended(t, cut.image, super); n != 1 {
		t.Error("nothing was mended")
	}
}

// TestMendGrown: a file system that has grown is still one of ours.
func TestMendGrown(t *testing.T) {
	path, size := imageFile(t, 64*mib, sample()), int64(20<<30)
	run(t, "resize2fs", path, "20G")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	super := make([]byte, 1024)
	if _, err := f.ReadAt(super, ext4.SuperOffset); err != nil {
		t.Fatal(err)
	}
	for at, group := range map[int]int64{1020: 0, 0x300: 1} {
		b := bytes.Clone(super)
		b[at] ^= 1
		m, err := ext4.Mend(hurt{f, b}, size)
		if err != nil || m.Super == nil || m.Group != group {
			t.Errorf("byte %#x: got %d bytes of group %d, %v", at, len(m.Super), m.Group, err)
		}
	}
}
