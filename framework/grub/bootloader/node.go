// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// A Node is the Machine that runs this program, locked against other programs.
type Node struct {
	Machine
	closers []func() error
}

// OpenNode opens the disk that was booted, such as /dev/vda, and its EFI partition, such
// as /dev/vda2 (both are in thisboot.Boot), and locks them until Close: bootenv waits
// meanwhile. varsDir is EFIVars. If it has no variables or is read-only, Machine.Vars is
// nil. now is the time of the files that are written.
func OpenNode(disk, esp, varsDir string, now time.Time) (*Node, error) {
	n := &Node{Machine: Machine{Time: now}}
	if err := n.open(disk, esp, varsDir); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the boot loader of %s: %w", disk, err), n.Close())
	}
	return n, nil
}

func (n *Node) open(disk, esp, varsDir string) error {
	whole, err := n.hold(disk)
	if err != nil {
		return err
	}
	part, err := n.hold(esp)
	if err != nil {
		return err
	}
	if err := blockdev.CheckUnmounted(part.File, blockdev.MountInfo); err != nil {
		return err
	}
	size, err := whole.Size()
	if err != nil {
		return err
	}
	n.Disk, n.ESP = whole, part
	if n.Table, err = gpt.Read(whole, size); err != nil {
		return err
	}
	if err := n.checkESP(part); err != nil {
		return err
	}
	n.Vars, err = OpenVars(varsDir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		n.Vars, err = nil, nil
	}
	return err
}

// checkESP refuses a device that is not the EFI partition of the disk: Plan would not read
// what the firmware starts.
func (n *Node) checkESP(part blockdev.Device) error {
	p, ok := n.Table.Partition(partEFI)
	size, err := part.Size()
	if err != nil {
		return err
	}
	if !ok || size != p.Size() {
		return fmt.Errorf("%w: %s has %d bytes, and partition %q of the disk %d", ErrForeign, part.Name(), size, partEFI, p.Size())
	}
	return nil
}

func (n *Node) hold(path string) (blockdev.Device, error) {
	d, err := blockdev.Open(path)
	if err != nil {
		return d, err
	}
	n.closers = append(n.closers, d.Close) // releases the lock
	_, err = blockdev.Lock(d.File)
	return d, err
}

// Close releases the devices.
func (n *Node) Close() error {
	var all error
	for _, c := range n.closers {
		all = errors.Join(all, c())
	}
	return all
}

var _ io.Closer = (*Node)(nil)
