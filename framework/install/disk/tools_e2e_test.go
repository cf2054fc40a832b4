// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package disk_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestOtherTools asks gdisk, dosfstools, e2fsprogs and cryptsetup about a disk
// with the default sizes.
func TestOtherTools(t *testing.T) {
	s := spec(t)
	s.Sizes = layout.Sizes{}
	path, result := write(t, s)
	if out := tool(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	for _, p := range result.Table.Partitions {
		part := filepath.Join(t.TempDir(), p.Name)
		tool(t, "dd", "if="+path, "of="+part, "bs=1M", "conv=sparse", fmt.Sprintf("skip=%d", p.Offset()>>20), fmt.Sprintf("count=%d", p.Size()>>20))
		switch {
		case p.Name == "efi" || strings.HasPrefix(p.Name, "boot-"):
			tool(t, "fsck.vfat", "-n", part)
		case strings.HasPrefix(p.Name, "root-"):
			tool(t, "veritysetup", "verify", fmt.Sprintf("--hash-offset=%d", s.Image.Tree.HashOffset), part, part, fmt.Sprintf("%x", s.Image.Tree.RootHash))
		case p.Name == "oem" || p.Name == "persistent":
			tool(t, "e2fsck", "-f", "-n", part)
		}
		if err := os.Remove(part); err != nil {
			t.Fatal(err)
		}
	}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestFullDisk needs root, to mount a small tmpfs.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: mounting a tmpfs needs root")
	}
	for _, size := range []string{"1m", "6m", "9m"} {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
		old := filepath.Join(dir, "disk.raw")
		if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := disk.Write(t.Context(), old, spec(t))
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some, or choose another folder") {
			t.Errorf("%s: got %v", size, err)
		}
		keptOld(t, old, []byte("old"))
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}
}
