// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// Partitions are the partitions of the disk that the node was booted from.
type Partitions []thisboot.Partition

// Open implements Disk.
func (p Partitions) Open(name string) (Device, error) { return p.open(name, os.O_RDONLY) }

// Claim implements Disk.
func (p Partitions) Claim(name string) (Device, error) {
	d, err := p.open(name, os.O_RDWR|os.O_EXCL)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: unmount it, or end what uses it", err)
	}
	return d, err
}

func (p Partitions) open(name string, flags int) (Device, error) {
	for _, part := range p {
		if part.Name != name {
			continue
		}
		f, err := os.OpenFile(part.Device, flags, 0)
		if err != nil {
			return nil, err
		}
		return device{f}, nil
	}
	return nil, fmt.Errorf("no partition %s", name)
}

// device drops its page cache after a Sync, so that reads come from the medium.
type device struct{ *os.File }

func (d device) Sync() error {
	if err := d.File.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(d.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("dropping the cache of %s: %w", d.Name(), err)
	}
	return nil
}
