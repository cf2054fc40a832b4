// SPDX-License-Identifier: Apache-2.0

// Package install puts an image onto a disk of the machine that runs it: it takes the image
// apart that runs (a live medium or the booted slot) or one that was fetched, chooses the
// disk, checks all that can be checked, and has framework/install/disk write it. It reads no
// command line and runs no hook; framework/node does.
//
// # The order
//
//	config   every file that goes along; a mistake ends it
//	image    is opened, and every block of it is compared with its root hash
//	memory   is enough
//	keys     of encrypted partitions are made; the TPM gives them back once
//	plan     sizes, boot loader, contents of every partition
//	disk     is chosen, and opened for this program alone
//	         ---- up to here, nothing was written ----
//	write    framework/install/disk: nothing boots until all is there
//
// A live medium has the image in the live tree of framework/layout.
package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/install/disks"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

// ErrInstalled says that the machine has been installed from this medium already.
var ErrInstalled = errors.New("this machine is installed already")

// ErrMemory says that the machine has too little memory.
var ErrMemory = errors.New("too little memory")

// A Request says what to install, and where to.
type Request struct {
	Image *Image
	// Files go to the oem partition.
	Files  []File
	Sizes  layout.Sizes // 0: the default
	Extra  []layout.Partition
	Device string // "auto" (the default), or the path of a disk
	Force  bool   // erase what is on the disk
	// Keep writes the system alone: partitions and data of an installed node stay, and Files,
	// Sizes, Extra and Encryption are not used.
	Keep bool
	// Once refuses a machine that has a disk with this image in its recovery slot: the
	// medium was left in the drive.
	Once bool
	// Encryption of partitions; none by default.
	Encryption Encryption
	// BootLoader makes the boot loader of the disk.
	BootLoader func(files map[string][]byte) (disk.BootLoader, error)
}

// A Machine is what an installation works on.
type Machine struct {
	Disks   func() ([]disks.Disk, error)
	Resolve func(path string) (string, error) // follows links
	// Open opens a disk for this program alone.
	Open      func(path string) (Device, error)
	Available func() (int64, error) // memory in bytes
	TPM       func() (Sealer, error)
}

// A Device is a disk that can be closed.
type Device interface {
	disk.Device
	Close() error
}

// A Plan is an installation that can be carried out, as far as could be checked. Close it.
type Plan struct {
	Choice  disks.Choice
	Request Request
	Size    int64 // bytes that the disk must have

	device  Device
	install *disk.Installation
	volumes map[string]*luks2.Volume
}

// Prepare checks everything. It writes nothing.
func Prepare(ctx context.Context, m Machine, r Request, report func(disk.Progress)) (*Plan, error) {
	if err := r.Image.Check(ctx); err != nil {
		return nil, err
	}
	if err := enoughMemory(m, r); err != nil {
		return nil, err
	}
	r = r.kept()
	volumes, err := r.Encryption.volumes(r.Extra, m.TPM)
	if err != nil {
		return nil, err
	}
	size, words, err := disk.Size(r.spec(volumes))
	if err != nil {
		return nil, fmt.Errorf("planning the disk: %w", err)
	}
	all, err := m.Disks()
	if err != nil {
		return nil, fmt.Errorf("looking for disks: %w", err)
	}
	if err := r.notYet(all); err != nil {
		return nil, err
	}
	if r.Keep {
		size = 0 // the disk has its sizes already
	}
	choice, err := disks.Choose(all, disks.Wish{Device: r.Device, Size: size, For: words, Force: r.Force, Keep: r.Keep}, m.Resolve)
	if err != nil {
		return nil, err
	}
	return open(m, r, &Plan{Choice: choice, Request: r, Size: size, volumes: volumes}, report)
}

func open(m Machine, r Request, p *Plan, report func(disk.Progress)) (*Plan, error) {
	var err error
	if p.device, err = m.Open(p.Choice.Disk.Path); err != nil {
		return nil, fmt.Errorf("opening %s: %w", p.Choice.Disk, err)
	}
	plan := disk.NewInstallation
	if r.Keep {
		plan = disk.NewReinstallation
	}
	if p.install, err = plan(r.spec(p.volumes), p.device, report); err != nil {
		return nil, errors.Join(fmt.Errorf("planning %s: %w", p.Choice.Disk, err), p.device.Close())
	}
	return p, nil
}

// kept leaves out what would be new on a disk whose partitions and data stay.
func (r Request) kept() Request {
	if r.Keep {
		r.Files, r.Sizes, r.Extra, r.Encryption = nil, layout.Sizes{}, nil, Encryption{}
	}
	return r
}

// notYet looks for a disk with an installation of this image.
func (r Request) notYet(all []disks.Disk) error {
	if !r.Once {
		return nil
	}
	for _, d := range all {
		c := d.Contents
		if c.Kairos && !c.Interrupted && !c.Reinstalling && c.Recovery.RootHash != "" && c.Recovery.RootHash == r.Image.RootHash() {
			return fmt.Errorf("%w: the recovery slot of %s has the image of this medium; remove the medium, or start the machine from that disk. To install once more, type `kairos-agent install --force`", ErrInstalled, d)
		}
	}
	return nil
}

func (r Request) spec(volumes map[string]*luks2.Volume) disk.Spec {
	i := r.Image
	return disk.Spec{
		Image: i.Slot, BootLoader: r.BootLoader, Root: i.Root, Stream: i.Stream, OEM: entries(r.Files),
		Sizes: r.Sizes, Extra: r.Extra, Encrypted: volumes, ID: i.ID(), Time: i.Time,
	}
}

// Lines say what the installation does, for the person who must agree to it.
func (p *Plan) Lines() []string {
	d := p.Choice.Disk
	lines := []string{
		fmt.Sprintf("disk    %s: %s", d, p.Choice.Why),
		fmt.Sprintf("image   %s, root hash %s", p.Request.Image, p.Request.Image.RootHash()),
	}
	if d.ByID != "" {
		lines[0] += "; " + d.ByID
	}
	if p.Request.Keep {
		return append(lines, "kept    the partitions, and the data and the configuration in them: what the config of the medium says of partitions and of the node is not applied")
	}
	if c := d.Contents; !c.Free() {
		lines = append(lines, fmt.Sprintf("erased  %s: everything on this disk is lost", c))
	} else if c.Interrupted {
		lines = append(lines, "an installation of this disk was interrupted; it begins anew")
	}
	if e := p.Request.Encryption; len(e.Labels) > 0 {
		lines = append(lines, e.line())
	}
	for _, f := range p.Request.Files {
		lines = append(lines, fmt.Sprintf("config  %s becomes %s/%s", f.From, layout.MountOEM, f.Name))
	}
	return lines
}

// Run writes the disk. After an error the installation can be run again.
func (p *Plan) Run(ctx context.Context) error {
	if err := p.install.Run(ctx); err != nil {
		return fmt.Errorf("installing to %s: %w; the disk does not start until an installation is complete: run it again", p.Choice.Disk.Path, err)
	}
	return nil
}

// Close gives the disk back, and closes the image.
func (p *Plan) Close() error { return errors.Join(p.device.Close(), p.Request.Image.Close()) }

// spareMemory, in bytes, is what an installation needs beside the files that it holds:
// buffers, hash blocks, and the rest of the system.
const spareMemory = 96 << 20

// enoughMemory: kernel and initrd are in memory, once more as files of a boot partition.
func enoughMemory(m Machine, r Request) error {
	have, err := m.Available()
	if err != nil {
		return err
	}
	if need := r.Image.Tree().Size/64 + spareMemory + r.Encryption.memory(); have < need {
		return fmt.Errorf("%w: %d MiB are free, and an installation needs %d MiB: give the machine more, or end what runs on it", ErrMemory, have>>20, need>>20)
	}
	return nil
}

// Available reads how much memory new programs can have, in bytes, from a file such as
// /proc/meminfo; see proc_meminfo(5).
func Available(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("looking how much memory is free: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "MemAvailable:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s does not say how much memory is free", path)
}
