// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Device holds a file system that changes: a block device, or a file. All writes
// are of whole sectors.
type Device interface {
	io.ReaderAt
	io.WriterAt
	// Sync returns when all writes are on the medium.
	Sync() error
}

// Replace gives a file of the file system on d, which has size bytes, new contents
// and the time at. It makes the file and the directories of its path if they are
// missing. A power cut at any moment leaves the old file or the new one, whole, and
// every other file as it was; see the package comment. It returns ErrNoSpace when
// old and new do not fit beside each other, and ErrDamaged; then the file is the old
// one.
func Replace(d Device, size int64, f File, at time.Time) error {
	e, err := edit(d, size, at)
	if err == nil {
		err = e.replace(f)
	}
	if err != nil {
		return fmt.Errorf("replacing %q on a FAT32 file system: %w", f.Path, err)
	}
	return nil
}

// Remove removes a file or an empty directory. A power cut leaves it whole, or gone.
// The error for a missing file is fs.ErrNotExist.
func Remove(d Device, size int64, path string) error {
	e, err := edit(d, size, time.Time{})
	if err == nil {
		err = e.remove(path)
	}
	if err != nil {
		return fmt.Errorf("removing %q from a FAT32 file system: %w", path, err)
	}
	return nil
}

// Reclaim frees the clusters that a power cut left without a file, and makes the
// FATs equal. Replace and Remove do that too.
func Reclaim(d Device, size int64) error {
	e, err := edit(d, size, time.Time{})
	if err == nil {
		err = e.sweep()
	}
	if err != nil {
		return fmt.Errorf("reclaiming lost clusters of a FAT32 file system: %w", err)
	}
	return nil
}

// An editor is one change of a file system.
type editor struct {
	*Volume
	d      Device
	stamp  stamp
	copies [][]byte // the FATs as they are on the medium
	used   []bool   // by cluster: a file or directory has it
}

func edit(d Device, size int64, at time.Time) (*editor, error) {
	v, err := Open(d, size)
	if err != nil {
		return nil, err
	}
	e := &editor{Volume: v, d: d, stamp: newStamp(at)}
	for i := range int64(v.fats) {
		fat, err := v.readFAT(d, i)
		if err != nil {
			return nil, err
		}
		e.copies = append(e.copies, fat)
	}
	return e, e.survey()
}

// survey finds out which clusters are in use.
func (e *editor) survey() error {
	e.used = make([]bool, rootCluster+e.clusters)
	return e.surveyDir(e.root)
}

func (e *editor) surveyDir(first uint32) error {
	if err := e.mark(first); err != nil {
		return err
	}
	d, err := e.readDir(first)
	if err != nil {
		return err
	}
	for _, p := range d.places {
		switch {
		case p.isDots():
		case p.isDir():
			err = e.surveyDir(p.first())
		case p.first() != 0:
			err = e.mark(p.first())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name(), err)
		}
	}
	return nil
}

func (e *editor) mark(first uint32) error {
	chain, err := e.chain(first)
	if err != nil {
		return err
	}
	for _, c := range chain {
		if e.used[c] {
			return fmt.Errorf("%w: cluster %d is in use twice", ErrDamaged, c)
		}
		e.used[c] = true
	}
	return nil
}

func (e *editor) replace(f File) error {
	t, err := e.find(f.Path)
	if err != nil {
		return err
	}
	if t.exists {
		return e.renew(t.place, f.Data)
	}
	slot, err := e.slot(t.dir)
	if err != nil {
		return err
	}
	entry, err := e.grow(e.link(t.dir), t.names, f.Data)
	if err != nil {
		return err
	}
	return e.commit(slot, entry)
}

// renew is replace for a file that exists: name and attributes stay.
func (e *editor) renew(p shortEntry, data []byte) error {
	if p.isDir() {
		return fmt.Errorf("it is a directory")
	}
	fresh, err := e.file(shortName{raw: [11]byte(p.raw[:11]), lower: p.raw[12]}, data)
	if err != nil {
		return err
	}
	entry := bytes.Clone(p.raw[:])
	entry[11] |= attrArchive
	copy(entry[18:], fresh[18:]) // last access, first cluster, last write, size
	return e.commit(p.offset, entry)
}

func (e *editor) remove(path string) error {
	p, err := e.lookup(path)
	if err != nil {
		return err
	}
	if p.isDir() {
		d, err := e.readDir(p.first())
		if err != nil {
			return err
		}
		if n := len(d.places); n > 2 {
			return fmt.Errorf("the directory is not empty: it has %d entries", n-2)
		}
	}
	entry := bytes.Clone(p.raw[:])
	entry[0] = entryFree
	return e.commit(p.offset, entry)
}

// commit ends step 1 of the package comment, after all contents were written to
// clusters that nothing refers to, and does steps 2 and 3.
func (e *editor) commit(offset int64, entry []byte) error {
	if err := e.writeFATs(); err != nil {
		return err
	}
	if err := e.d.Sync(); err != nil {
		return err
	}
	if err := e.patch(offset, entry); err != nil {
		return err
	}
	if err := e.d.Sync(); err != nil {
		return err
	}
	if err := e.survey(); err != nil {
		return err
	}
	return e.sweep()
}

// patch changes bytes within one sector, and writes that sector.
func (e *editor) patch(offset int64, b []byte) error {
	sector := make([]byte, SectorSize)
	at := offset % SectorSize
	if _, err := e.d.ReadAt(sector, offset-at); err != nil {
		return err
	}
	copy(sector[at:], b)
	return writeAt(e.d, sector, offset-at)
}

// sweep frees the clusters that are not in use.
func (e *editor) sweep() error {
	for c := uint32(rootCluster); c < rootCluster+e.clusters; c++ {
		if !e.used[c] && e.next(c) != badCluster {
			e.set(c, 0)
		}
	}
	if err := e.writeFATs(); err != nil {
		return err
	}
	if err := e.countFree(); err != nil {
		return err
	}
	return e.d.Sync()
}

// writeFATs writes the sectors of each copy that differ from e.fat.
func (e *editor) writeFATs() error {
	for i, old := range e.copies {
		for at := 0; at < len(old); at += SectorSize {
			sector := e.fat[at : at+SectorSize]
			if bytes.Equal(sector, old[at:at+SectorSize]) {
				continue
			}
			if err := writeAt(e.d, sector, e.fatOffset(int64(i))+int64(at)); err != nil {
				return fmt.Errorf("writing the FAT: %w", err)
			}
			copy(old[at:], sector)
		}
	}
	return nil
}

// countFree updates the number of free clusters in FSInfo, which is a hint.
func (e *editor) countFree() error {
	if e.fsInfo == 0 {
		return nil
	}
	offset := int64(e.fsInfo) * SectorSize
	b := make([]byte, SectorSize)
	if _, err := e.d.ReadAt(b, offset); err != nil {
		return fmt.Errorf("reading FSInfo: %w", err)
	}
	free := uint32(0)
	for c := uint32(rootCluster); c < rootCluster+e.clusters; c++ {
		if e.next(c) == 0 {
			free++
		}
	}
	if string(b[:4]) != "RRaA" || binary.LittleEndian.Uint32(b[488:]) == free {
		return nil
	}
	return e.patch(offset+488, binary.LittleEndian.AppendUint32(nil, free))
}

// A target is the result of looking up a path: an existing entry, or the deepest
// existing directory and the names that are missing below it.
type target struct {
	exists bool
	place  shortEntry
	dir    directory
	names  []shortName
}

func (e *editor) find(path string) (target, error) {
	t := target{}
	for part := range strings.SplitSeq(path, "/") {
		name, err := encodeName(part)
		if err != nil {
			return t, err
		}
		t.names = append(t.names, name)
	}
	var err error
	t.dir, err = e.readDir(e.root)
	for err == nil {
		p, ok := t.dir.find(decodeName(t.names[0].raw, 0))
		switch {
		case !ok:
			return t, nil
		case len(t.names) == 1:
			t.exists, t.place = true, p
			return t, nil
		case !p.isDir():
			return t, fmt.Errorf("%s is a file, not a directory", p.name())
		}
		t.names = t.names[1:]
		t.dir, err = e.readDir(p.first())
	}
	return t, err
}

// link returns the cluster for ".." below a directory: 0 for the root.
func (e *editor) link(d directory) uint32 {
	if d.clusters[0] == e.root {
		return 0
	}
	return d.clusters[0]
}
