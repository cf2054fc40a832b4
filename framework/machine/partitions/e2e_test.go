// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package partitions

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
)

// loopDisk makes an empty loop device of 64 MiB.
func loopDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT PROVEN: only root can make loop devices")
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 64<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: no loop device: %v", err)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if err := exec.Command("partx", "--delete", device).Run(); err != nil {
			t.Error(err)
		}
		if err := exec.Command("losetup", "--detach", device).Run(); err != nil {
			t.Error(err)
		}
	})
	return device
}

func labels(t *testing.T, device string, numbers ...int) []string {
	t.Helper()
	var out []string
	for _, n := range numbers {
		label, fs, err := (KernelDisks{}).Label(t.Context(), KernelDisks{}.Device(device, n))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, label+" "+fs)
	}
	return out
}

// TestRealDisk uses the kernel and the programs of this machine.
func TestRealDisk(t *testing.T) {
	device := loopDisk(t)
	l := config.DiskLayout{Path: config.Text{Text: device, Path: "p"}, Init: true, Add: []config.NewPartition{
		{Name: "data", Label: "DATA", Size: 16, FileSystem: "ext4"}, {Name: "EFI", Label: "EFI", Size: 8, FileSystem: "vfat", Bootable: true},
	}}
	apply := func(want ...string) {
		t.Helper()
		done, err := Apply(context.Background(), KernelDisks{}, l)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, done); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	apply("made a partition table", `added partition 1 ("data") of 16 MiB`, `added partition 2 ("EFI") of 8 MiB`,
		`made the file system (ext4) of partition "data"`, `made the file system (vfat) of partition "EFI"`)
	apply()
	if diff := cmp.Diff([]string{"DATA ext4", "EFI vfat"}, labels(t, device, 1, 2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l = config.DiskLayout{Label: config.Text{Text: "EFI", Path: "p"}, Add: slices.Concat(l.Add, []config.NewPartition{{Name: "last", Size: 8, FileSystem: "ext4"}})}
	apply(`added partition 3 ("last") of 8 MiB`, `made the file system (ext4) of partition "last"`)
	everything := 0
	l = config.DiskLayout{Path: config.Text{Text: device, Path: "p"}, Expand: &everything}
	apply(`partition 3 ("last") has 38 MiB`, `grew the file system of partition 3 ("last")`)
	apply()
	if out, err := exec.CommandContext(t.Context(), "e2fsck", "-f", "-n", KernelDisks{}.Device(device, 3)).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v: %s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "sfdisk", "--verify", device).CombinedOutput(); err != nil {
		t.Errorf("sfdisk: %v: %s", err, out)
	}
}
