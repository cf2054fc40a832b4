// SPDX-License-Identifier: Apache-2.0

// Package fat32 writes a complete FAT32 file system in one go (Write): the EFI
// system partition and the boot partition of a slot. The same input gives the same
// bytes, in a file and on a block device with old data on it. The package also reads
// FAT32 file systems of any maker (Open), and replaces single files in them so that
// a power cut at any moment leaves the old file or the new one (Replace, Remove).
//
// WriteFAT16 writes the small FAT16 file system that a CD-ROM needs.
//
// It does not repair file systems, and it supports short (8.3) names only: readers
// skip long names.
//
// # How a file is replaced
//
//  1. Write the new contents, and any missing directories, to clusters that nothing
//     refers to, and their chains to both FATs. Flush.
//  2. Write one sector of an existing directory: in it, only the entry of 32 bytes
//     with the first cluster, size and time changes. Flush.
//  3. Free all clusters that nothing refers to, in both FATs. Flush.
//
// A disk writes a sector as a whole or not at all, so step 2 is the moment of
// change. A power cut before the end of step 3 leaves lost clusters. The next
// Replace counts them as free, and its step 3 clears them. A full directory is
// extended before step 2, with a cluster of empty entries. Only Replace may change
// the file system meanwhile: it must not be mounted.
//
// Readers take the first FAT. After some power cuts the copies differ, in lost
// clusters only; the next Replace makes them equal.
//
// # What Write makes
//
// The layout, in sectors of 512 bytes (Microsoft, "FAT: General Overview of
// On-Disk Format", 1.03, names in brackets):
//
//	0            boot sector (BPB), its copy in 6
//	1            FSInfo, its copy in 7
//	2, 8         third boot sector, empty but for the signature
//	32..39       end of the reserved area, so that the data starts on 4 KiB
//	+ 2 FATs     of equal content
//	+ clusters   2 is the root directory, then the other directories, then the
//	             files, all contiguous and in the order of their paths
//
// # Why not go-diskfs
//
// In the tests, github.com/diskfs/go-diskfs v1.9.4 reads our file systems. It was
// tried as the writer of a boot partition, and does not fit. Entries carry the
// clock's time even with reproducible set, so no two runs agree; the volume id is
// then always 0. FSInfo's free count stays unset, about which fsck.vfat complains.
// The allocator bounds clusters by the entries of the FAT and not by the data area,
// so the last file of a full volume may end outside of the partition. It needs its
// own Storage type where an io.WriterAt has to do. And 42 MiB took 300 ms, because
// each extension of a file writes both FATs again.
package fat32

import (
	"fmt"
	"io"
	"time"
)

// SectorSize is in bytes.
const SectorSize = 512

// MaxSize is the largest volume, in bytes, that Write accepts. Our partitions hold
// hundreds of MiB; the limit keeps a FAT small enough to build in memory.
const MaxSize = 8 << 30

// A File is one regular file. The directories of its path are made.
type File struct {
	// Path is slash-separated, relative, and made of 8.3 names. A base name
	// or an extension is all upper case or all lower case: "EFI/BOOT/grub.cfg".
	Path string
	Data []byte
}

// Options of a file system.
type Options struct {
	Label    string    // at most 11 characters of A-Z 0-9 _ - and space; empty for none
	VolumeID uint32    // serial number, shown by blkid as the UUID "1234-ABCD"
	Time     time.Time // of every entry, in UTC; before 1980 (and zero) means 1980-01-01
}

// Write writes a FAT32 file system of size bytes with just these files, at the
// beginning of w. It writes all metadata and every cluster in use, and leaves free
// clusters as they are. The boot sector comes last: until then w has no file system,
// or still the boot sector of the old one.
//
// Write returns an error, before it writes anything, if size is not a multiple of
// SectorSize, above MaxSize or too small for FAT32 (about 33 MiB), if the files do
// not fit (ErrNoSpace), or if a name is not 8.3 or appears twice.
func Write(w io.WriterAt, size int64, files []File, o Options) error {
	v, err := plan(size, files, o)
	if err != nil {
		return fmt.Errorf("laying out FAT32 file system %q: %w", o.Label, err)
	}
	if err := v.write(w); err != nil {
		return fmt.Errorf("writing FAT32 file system %q: %w", o.Label, err)
	}
	return nil
}

// A volume is the plan of a file system, complete before the first write.
type volume struct {
	geometry
	label [11]byte
	id    uint32
	stamp stamp
	root  *node
	nodes []*node // directories in path order, then files in path order
}

func plan(size int64, files []File, o Options) (*volume, error) {
	g, err := newGeometry(size)
	if err != nil {
		return nil, err
	}
	label, err := encodeLabel(o.Label)
	if err != nil {
		return nil, err
	}
	root, err := newTree(files)
	if err != nil {
		return nil, err
	}
	v := &volume{geometry: g, label: label, id: o.VolumeID, stamp: newStamp(o.Time), root: root}
	v.nodes = append(root.directories(), root.files()...)
	return v, v.allocate()
}

// allocate gives every node its run of clusters.
func (v *volume) allocate() error {
	next := uint32(rootCluster)
	for _, n := range v.nodes {
		need := v.clustersFor(n.size(v.hasLabel()))
		if need > v.clusters-(next-rootCluster) {
			return fmt.Errorf("%q does not fit into %d MiB: %w", n.path, v.bytes()>>20, ErrNoSpace)
		}
		n.clusters = need
		if need > 0 { // an empty file has no cluster: number 0
			n.first = next
		}
		next += need
	}
	v.used = next - rootCluster
	return nil
}

func (v *volume) hasLabel() bool { return v.label != noLabel }

func (v *volume) write(w io.WriterAt) error {
	for _, n := range v.nodes {
		if err := v.writeNode(w, n); err != nil {
			return err
		}
	}
	fat := v.fat()
	for i := range int64(fatCount) {
		if err := writeAt(w, fat, v.fatOffset(i)); err != nil {
			return err
		}
	}
	return v.writeReserved(w)
}

// writeNode writes a file or a directory, with zeros up to its cluster's end.
func (v *volume) writeNode(w io.WriterAt, n *node) error {
	data := n.data
	if n.dir {
		data = v.directory(n)
	}
	offset := v.clusterOffset(n.first)
	if err := writeAt(w, data, offset); err != nil {
		return fmt.Errorf("%q: %w", n.path, err)
	}
	slack := int64(n.clusters)*v.clusterSize() - int64(len(data))
	return writeAt(w, make([]byte, slack), offset+int64(len(data)))
}

func writeAt(w io.WriterAt, p []byte, offset int64) error {
	if len(p) == 0 {
		return nil
	}
	_, err := w.WriteAt(p, offset)
	return err
}
