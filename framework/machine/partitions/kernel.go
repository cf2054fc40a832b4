// SPDX-License-Identifier: Apache-2.0

package partitions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/internal/grow"
)

// KernelDisks are the disks of the running kernel. Boot is the device of the boot
// disk, or empty.
type KernelDisks struct{ Boot string }

// BootDisk implements Disks.
func (m KernelDisks) BootDisk() string { return m.Boot }

// Disk implements Disks. A path or label of a partition stands for its disk; see
// named.
func (m KernelDisks) Disk(ctx context.Context, l config.DiskLayout) (string, error) {
	path, err := named(ctx, l)
	if err != nil {
		return "", err
	}
	device, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no disk %s", path)
	}
	if err != nil {
		return "", err
	}
	sys, err := filepath.EvalSymlinks(filepath.Join("/sys/class/block", filepath.Base(device)))
	if err != nil {
		return "", fmt.Errorf("%s is no disk: %w", path, err)
	}
	if _, err := os.Stat(filepath.Join(sys, "partition")); err == nil {
		device = "/dev/" + filepath.Base(filepath.Dir(sys))
	}
	return device, nil
}

// Device implements Disks with the kernel's names of partitions.
func (m KernelDisks) Device(disk string, number int) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		return fmt.Sprintf("%sp%d", disk, number)
	}
	return fmt.Sprintf("%s%d", disk, number)
}

// Label implements Disks.
func (m KernelDisks) Label(ctx context.Context, device string) (label, fsType string, err error) {
	cmd := exec.CommandContext(ctx, "blkid", "-p", "-o", "export", device)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 2 {
		return "", "", nil // nothing is on it
	}
	if err != nil {
		return "", "", fmt.Errorf("looking into %s with blkid: %w", device, err)
	}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "LABEL":
			label = value
		case "TYPE":
			fsType = value
		}
	}
	return label, fsType, nil
}

// Has implements Disks.
func (m KernelDisks) Has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Run implements Disks.
func (m KernelDisks) Run(ctx context.Context, words ...string) error {
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// deviceTime is the longest wait for the device node of a new partition.
const deviceTime = 5 * time.Second

// Added implements Disks. The kernel creates the device node by itself.
func (m KernelDisks) Added(disk *os.File, p blockdev.Partition) error {
	if err := blockdev.Add(disk, p); err != nil {
		return err
	}
	device := m.Device(disk.Name(), p.Number)
	for waited := time.Duration(0); ; waited += 20 * time.Millisecond {
		if _, err := os.Stat(device); err == nil {
			return nil
		} else if waited >= deviceTime {
			return fmt.Errorf("waiting for %s: %w", device, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Resized implements Disks.
func (m KernelDisks) Resized(disk *os.File, p blockdev.Partition) error {
	return blockdev.Resize(disk, p)
}

// Grow implements Disks. An unmounted file system is checked first, because
// resize2fs demands it.
func (m KernelDisks) Grow(ctx context.Context, device string, size int64) (changed bool, err error) {
	have, err := grow.Inspect(device)
	if err != nil || have.Blocks*have.BlockSize > size-have.BlockSize {
		return false, err
	}
	f, err := os.Open(device)
	if err != nil {
		return false, err
	}
	mounted := blockdev.CheckUnmounted(f, blockdev.MountInfo)
	if err := f.Close(); err != nil {
		return false, err
	}
	switch {
	case errors.Is(mounted, blockdev.ErrMounted):
	case mounted != nil:
		return false, mounted
	default:
		err := exec.CommandContext(ctx, "e2fsck", "-f", "-p", device).Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
			err = nil // it repaired the file system
		}
		if err != nil {
			return false, fmt.Errorf("checking %s with e2fsck: %w", device, err)
		}
	}
	return true, m.Run(ctx, "resize2fs", device)
}
