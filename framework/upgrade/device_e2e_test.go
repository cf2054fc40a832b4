// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package upgrade

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBlockDevice: a Partition works on a block device, as nodes have it, not only on files.
func TestBlockDevice(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	const size = 32 << 20
	file := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Skipf("no loop device: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	defer func() {
		if err := exec.Command("losetup", "--detach", loop).Run(); err != nil {
			t.Error(err)
		}
	}()
	p, err := OpenPartition(loop)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Size() != size {
		t.Errorf("got %d bytes, want %d", p.Size(), size)
	}
	if _, err := OpenPartition(loop); !errors.Is(err, unix.EBUSY) {
		t.Errorf("the second: got %v, want EBUSY", err)
	}
	want := []byte(noise(1<<20, 1))
	for at := int64(0); at < size; at += 1 << 20 {
		if _, err := p.WriteAt(want, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(p.Sync(), p.Forget()); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := p.ReadAt(got, size-1<<20); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the last megabyte differs, or error %v", err)
	}
}
