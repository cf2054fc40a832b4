// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"errors"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// personDiskSize is the disk of a machine for a person, in bytes. It takes no
// space on the host until it is written to.
const personDiskSize = 16 * layout.GiB

// Machine is the machine that a person gets for a disk: o.Boots[0] as its
// firmware, KVM where it works with the disk's own kernel, else emulation.
// Nothing is started. Options that are about checks do not count.
func Machine(ctx context.Context, o Options) (_ qemu.Config, err error) {
	if o, err = o.withDefaults(); err != nil {
		return qemu.Config{}, err
	}
	host, err := qemu.Find(ctx, o.QEMU)
	if err != nil {
		return qemu.Config{}, err
	}
	boot := o.Boots[0]
	if _, err := host.Firmware(boot); err != nil {
		return qemu.Config{}, err
	}
	disk, err := OpenDisk(o.Disk)
	if err != nil {
		return qemu.Config{}, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	verdict, err := accelerator(ctx, o, host, disk)
	if err != nil {
		return qemu.Config{}, err
	}
	return qemu.Config{
		Host: host, Accel: verdict.Accel, Boot: boot, Log: o.Log,
		Disk: o.Disk, DiskSize: max(disk.Size, personDiskSize),
	}, nil
}
