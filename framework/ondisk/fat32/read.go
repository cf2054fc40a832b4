// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"strings"
)

const (
	attrLongName = 0x0f
	attrMask     = 0x3f
	entryFree    = 0xe5 // first byte of an entry that was deleted
	entryKanji   = 0x05 // stands for 0xe5 as the first byte of a name
	// maxDirSize is the specification's limit, in bytes.
	maxDirSize = 65536 * entrySize
)

// An Entry is a file or a directory in a directory.
type Entry struct {
	Name string // 8.3, in the case that its flags give
	Dir  bool
	Size int64 // bytes; 0 for a directory
}

// An Extent is a run of bytes of a file. Offset is in the volume.
type Extent struct{ Offset, Length int64 }

// A shortEntry is a short entry and where its 32 bytes are.
type shortEntry struct {
	raw    [entrySize]byte
	offset int64 // in the volume
}

func (p shortEntry) name() string     { return decodeName([11]byte(p.raw[:11]), p.raw[12]) }
func (p shortEntry) isDir() bool      { return p.raw[11]&attrDirectory != 0 }
func (p shortEntry) size() int64      { return int64(binary.LittleEndian.Uint32(p.raw[28:])) }
func (p shortEntry) isDots() bool     { return p.raw[0] == '.' }
func (p shortEntry) isVolumeID() bool { return p.raw[11]&attrVolumeID != 0 }
func (p shortEntry) first() uint32 {
	le := binary.LittleEndian
	return (uint32(le.Uint16(p.raw[20:]))<<16 | uint32(le.Uint16(p.raw[26:]))) & entryMask
}

func decodeName(raw [11]byte, lower byte) string {
	if raw[0] == entryKanji {
		raw[0] = entryFree
	}
	base, ext := strings.TrimRight(string(raw[:8]), " "), strings.TrimRight(string(raw[8:]), " ")
	if lower&lowerBase != 0 {
		base = strings.ToLower(base)
	}
	if lower&lowerExt != 0 {
		ext = strings.ToLower(ext)
	}
	if ext == "" {
		return base
	}
	return base + "." + ext
}

// List returns the entries of a directory, in the order of the medium. The root
// directory is "". The error for a missing directory is fs.ErrNotExist.
func (v *Volume) List(dir string) ([]Entry, error) {
	d, err := v.directoryAt(dir)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, p := range d.places {
		if !p.isDots() {
			list = append(list, Entry{Name: p.name(), Dir: p.isDir(), Size: p.size()})
		}
	}
	return list, nil
}

// ReadFile returns the contents of a file. Paths are not case-sensitive. The error
// for a missing file is fs.ErrNotExist.
func (v *Volume) ReadFile(path string) ([]byte, error) {
	extents, err := v.Extents(path)
	if err != nil {
		return nil, err
	}
	var data []byte
	for _, e := range extents {
		piece := make([]byte, e.Length)
		if _, err := v.r.ReadAt(piece, e.Offset); err != nil {
			return nil, fmt.Errorf("reading %q: %w", path, err)
		}
		data = append(data, piece...)
	}
	return data, nil
}

// Extents says where the contents of a file lie, in order and in as few runs as
// possible. An empty file has none.
func (v *Volume) Extents(path string) ([]Extent, error) {
	p, err := v.lookup(path)
	if err != nil {
		return nil, err
	}
	if p.isDir() {
		return nil, fmt.Errorf("%q is a directory, not a file", path)
	}
	e, err := v.extents(p)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return e, nil
}

func (v *Volume) extents(p shortEntry) ([]Extent, error) {
	left := p.size()
	if left == 0 {
		return nil, nil
	}
	chain, err := v.chain(p.first())
	if err != nil {
		return nil, err
	}
	if int64(len(chain))*v.clusterSize() < left {
		return nil, fmt.Errorf("%w: %d bytes in %d clusters of %d", ErrDamaged, left, len(chain), v.clusterSize())
	}
	var list []Extent
	for _, c := range chain {
		n := min(left, v.clusterSize())
		if n == 0 {
			break
		}
		left -= n
		if at := v.clusterOffset(c); len(list) > 0 && list[len(list)-1].Offset+list[len(list)-1].Length == at {
			list[len(list)-1].Length += n
		} else {
			list = append(list, Extent{at, n})
		}
	}
	return list, nil
}

// lookup finds the entry of a file or a directory, but not of the root.
func (v *Volume) lookup(path string) (shortEntry, error) {
	dir, base := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, base = path[:i], path[i+1:]
	}
	d, err := v.directoryAt(dir)
	if err != nil {
		return shortEntry{}, err
	}
	p, ok := d.find(base)
	if !ok {
		return shortEntry{}, &fs.PathError{Op: "looking up", Path: path, Err: fs.ErrNotExist}
	}
	return p, nil
}

// A directory is the content of a directory, and its clusters.
type directory struct {
	clusters []uint32
	places   []shortEntry // in use, with "." and "..", without labels and long names
	raw      []byte
}

func (d directory) find(name string) (shortEntry, bool) {
	for _, p := range d.places {
		if !p.isDots() && strings.EqualFold(p.name(), name) {
			return p, true
		}
	}
	return shortEntry{}, false
}

// directoryAt reads the directory at path, which is "" for the root.
func (v *Volume) directoryAt(path string) (directory, error) {
	at := v.root
	done := ""
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if part == "" {
			break
		}
		d, err := v.readDir(at)
		if err != nil {
			return d, fmt.Errorf("directory %q: %w", done, err)
		}
		p, ok := d.find(part)
		done = strings.TrimPrefix(done+"/"+part, "/")
		if !ok || !p.isDir() {
			return d, &fs.PathError{Op: "looking up directory", Path: done, Err: fs.ErrNotExist}
		}
		at = p.first()
	}
	d, err := v.readDir(at)
	if err != nil {
		return d, fmt.Errorf("directory %q: %w", path, err)
	}
	return d, nil
}

func (v *Volume) readDir(first uint32) (directory, error) {
	chain, err := v.chain(first)
	if err != nil {
		return directory{}, err
	}
	if len(chain) == 0 || int64(len(chain)-1)*v.clusterSize() >= maxDirSize {
		return directory{}, fmt.Errorf("%w: a directory of %d clusters", ErrDamaged, len(chain))
	}
	d := directory{clusters: chain, raw: make([]byte, int64(len(chain))*v.clusterSize())}
	for i, c := range chain {
		if _, err := v.r.ReadAt(d.raw[int64(i)*v.clusterSize():][:v.clusterSize()], v.clusterOffset(c)); err != nil {
			return d, err
		}
	}
	for at := 0; at < len(d.raw) && d.raw[at] != 0; at += entrySize {
		p := shortEntry{raw: [entrySize]byte(d.raw[at:]), offset: v.offsetIn(d, at)}
		if p.raw[0] != entryFree && p.raw[11]&attrMask != attrLongName && !p.isVolumeID() {
			d.places = append(d.places, p)
		}
	}
	return d, nil
}

// offsetIn returns where byte at of a directory lies in the volume.
func (v *Volume) offsetIn(d directory, at int) int64 {
	size := int(v.clusterSize())
	return v.clusterOffset(d.clusters[at/size]) + int64(at%size)
}
