// SPDX-License-Identifier: Apache-2.0

// Package virtualdisk writes a raw disk in the formats of virtual machines and clouds:
// qcow2, VMDK (streamOptimized), VHD (dynamic), VHDX, the fixed VHD of Azure, the archive
// of Google Compute Engine, and compressed with zstd, gzip or xz. It owns these formats.
// It does not know what is on a disk, and does not name or replace files.
//
// One pass over the data serves all files: each has a writer, and all get the same pieces
// of 1 MiB, which the first that needs the bytes reads. A format writes its tables first,
// from the extents alone, so every file is one stream without a seek backwards. Holes of
// the disk are not read, and where the file system can share blocks with the disk, nothing
// is copied.
//
// The same disk gives the same bytes: there is no clock and no random number, identifiers
// are derived from Disk.ID, and a compressor gets the same pieces whatever the number of
// processors. No external program is run.
//
// A disk has the root image three times. Extents with the same digest and size have the
// same bytes: qcow2 stores them once, and compressors compress them once.
package virtualdisk

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// sectorSize of all disks, in bytes.
const sectorSize = 512

// A Disk is a raw disk.
type Disk struct {
	// Size in bytes, a multiple of 1 MiB.
	Size int64
	Data io.ReaderAt
	// Extents are all places with data, in order. Extents with the same digest and size
	// have the same bytes.
	Extents []disk.Extent
	// ID is the seed of every identifier.
	ID [32]byte
}

// id derives an identifier. VirtualBox refuses a second disk with an identifier that it
// knows, so the kind is part of it.
func (d Disk) id(what string) gpt.GUID {
	return gpt.DeriveGUID(sha256.Sum256(append([]byte("kairos-virtual-disk-v1\n"+what+"\n"), d.ID[:]...)))
}

// check refuses a disk that the formats cannot hold.
func (d Disk) check() error {
	if d.Size <= 0 || d.Size%chunkSize != 0 {
		return fmt.Errorf("a disk of %d bytes: its size must be a multiple of 1 MiB", d.Size)
	}
	at := int64(0)
	for _, e := range d.Extents {
		if e.Offset < at || e.Size <= 0 || e.Size > d.Size-e.Offset {
			return fmt.Errorf("an extent of %d bytes at %d does not fit behind %d on a disk of %d bytes", e.Size, e.Offset, at, d.Size)
		}
		at = e.Offset + e.Size
	}
	return nil
}

// Names of formats.
const (
	Raw   = "raw"
	Qcow2 = "qcow2"
	VMDK  = "vmdk"
	VHD   = "vhd"
	VHDX  = "vhdx"
	GCE   = "gce"
	Azure = "azure"
)

// A Format is a kind of file that holds a disk.
type Format struct {
	Name string
	// Suffix is the end of a file's name.
	Suffix string
	// For says who reads it, for people.
	For string
	// Compressed says that the format itself compresses.
	Compressed bool

	// most is the largest disk, in bytes; zero: no limit that matters.
	most int64
	// room is the number of bytes of the file; nil if it is not known before the data is
	// compressed.
	room func(Disk) int64
	// open writes the tables of a new file, and returns what writes the data.
	open func(context.Context, Disk, sink) (writer, error)
	// wrap is the compression that belongs to the format.
	wrap string
}

// Formats lists all formats.
func Formats() []Format {
	return []Format{
		{Name: Raw, Suffix: ".raw", For: "dd, any machine", room: dataSize, open: openFixed},
		{Name: Qcow2, Suffix: ".qcow2", For: "QEMU, libvirt, Proxmox VE, OpenStack", room: qcow2Size, open: openQcow2},
		{Name: VMDK, Suffix: ".vmdk", For: "VMware, VirtualBox, OVF", Compressed: true, most: 2 << 40, open: openVMDK},
		{Name: VHD, Suffix: ".vhd", For: "Hyper-V generation 1, XenServer", most: vhdMost, room: vhdSize, open: openVHD},
		{Name: VHDX, Suffix: ".vhdx", For: "Hyper-V", most: 64 << 40, room: vhdxSize, open: openVHDX},
		{Name: GCE, Suffix: ".gce.tar.gz", For: "Google Compute Engine", Compressed: true, open: openGCE, wrap: Gzip},
		{Name: Azure, Suffix: ".azure.vhd", For: "Microsoft Azure", most: vhdMost, room: azureSize, open: openAzure},
	}
}

// Find finds a format by its name.
func Find(name string) (Format, bool) {
	all := Formats()
	i := slices.IndexFunc(all, func(f Format) bool { return f.Name == name })
	if i < 0 {
		return Format{}, false
	}
	return all[i], true
}

// Compression names of Order.Compression, which are also the ends of files' names.
const (
	Zstd = "zst"
	Gzip = "gz"
	XZ   = "xz"
)

// Compressions lists the compressions.
func Compressions() []string { return []string{Zstd, Gzip, XZ} }

// compressedPart is the part of the data that is left by compressing it, as a divisor for
// estimates: kernel, initrd and most of the root image shrink to less than this.
const compressedPart = 4

// Room estimates the size of a file with a disk, in bytes.
func (f Format) Room(d Disk, compression string) int64 {
	if f.room == nil || compression != "" {
		return dataSize(d) / compressedPart
	}
	return f.room(d)
}

// dataSize is the number of bytes in extents.
func dataSize(d Disk) int64 { return ranges(d.Extents, blockSize).size() }
