// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// personDiskSize is the smallest disk of a user's machine, in bytes. It takes no space
// on the host until it is written to.
const personDiskSize = 16 * layout.GiB

// ForPerson returns the machine that a user gets for a disk, and the limit of one boot.
// The firmware is o.Boots[0]. The machine uses KVM if that works with the disk's own
// kernel, else emulation. It is not started.
func ForPerson(ctx context.Context, o Options) (_ qemu.Config, limit time.Duration, err error) {
	if o, err = o.WithDefaults(); err != nil {
		return qemu.Config{}, 0, err
	}
	l, err := open(ctx, o)
	if err != nil {
		return qemu.Config{}, 0, err
	}
	defer func() { err = errors.Join(err, l.Artifact.Close()) }()
	err = l.Probe(ctx)
	return qemu.Config{
		Host: l.Host, Accel: l.Accel, Boot: l.Boots[0], Log: l.Log,
		Disk: l.Disk, DiskSize: max(l.Artifact.Size, personDiskSize),
	}, l.BootTimeout, err
}

// ForEmpty is ForPerson for a machine whose disk is empty, or was so when it began. kernel
// is the path of a Linux kernel that KVM is tried with.
func ForEmpty(ctx context.Context, o Options, kernel string) (qemu.Config, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return qemu.Config{}, err
	}
	data, err := os.ReadFile(kernel)
	if err != nil {
		return qemu.Config{}, err
	}
	host, err := o.host(ctx, data)
	if err != nil {
		return qemu.Config{}, err
	}
	verdict, err := o.tryKVM(ctx, host, kernel)
	return qemu.Config{Host: host, Accel: verdict.Accel, Boot: slices.Concat(o.Boots, host.Boots())[0], Log: o.Log, Disk: o.Disk, DiskSize: personDiskSize}, err
}

// Users returns the names of the users that the cloud-config on the disk lets log in,
// in its order. An empty list means that no user can log in.
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
		for _, name := range Logins(c) {
			if !slices.Contains(users, name) {
				users = append(users, name)
			}
		}
	}
	return users, nil
}

// Logins lists the users that a cloud-config, which may be nil, lets log in.
func Logins(c *config.Config) []string {
	if c == nil {
		return nil
	}
	var users []string
	for _, u := range c.Users {
		if u.Password != "" || len(u.SSHAuthorizedKeys) > 0 {
			users = append(users, u.Name)
		}
	}
	return users
}
