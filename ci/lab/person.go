// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// personDiskSize is the disk of a machine for a person, in bytes. It takes no
// space on the host until it is written to.
const personDiskSize = 16 * layout.GiB

// ForPerson is the machine that a person gets for a disk: o.Boots[0] as its
// firmware, KVM where it works with the disk's own kernel, else emulation.
// Nothing is started. Options that are about checks do not count.
func ForPerson(ctx context.Context, o Options) (_ qemu.Config, err error) {
	if o, err = o.WithDefaults(); err != nil {
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

// Users names those whom the cloud-config on the disk lets in, in its order. None
// means that nobody can log in.
func (d *Disk) Users() ([]string, error) {
	p, err := d.Partition(layout.PartOEM)
	if err != nil {
		return nil, err
	}
	entries, err := d.oemEntries(p)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, e := range entries {
		if e.Dir || !strings.HasSuffix(e.Path, ".yaml") {
			continue
		}
		c, _ := config.Decode(e.Path, e.Data) // its problems are shown by the node
		if c == nil {
			continue
		}
		for _, u := range c.Users {
			if !slices.Contains(users, u.Name) && (u.Password != "" || len(u.SSHAuthorizedKeys) > 0) {
				users = append(users, u.Name)
			}
		}
	}
	return users, nil
}
