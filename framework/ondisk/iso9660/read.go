// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// Limits of what Open reads: a damaged or hostile image costs no more.
const (
	maxDescriptors = 32
	maxDirectory   = 1 << 20 // bytes
	maxRecords     = 1 << 16 // of all trees together
)

// Errors of Open and Point.
var (
	// ErrNotISO is for something that has no ISO 9660 file system.
	ErrNotISO = errors.New("not an ISO 9660 file system")
	// ErrDamaged is for a file system that contradicts itself.
	ErrDamaged = errors.New("the ISO 9660 file system is damaged")
	// ErrNoFile is for a path that is not there.
	ErrNoFile = errors.New("no such file in the ISO image")
)

// An Extent is where the content of a file is, in bytes.
type Extent struct{ Offset, Size int64 }

// An Image is an ISO 9660 file system, of any maker.
type Image struct {
	Label string
	r     io.ReaderAt
	size  int64
	files map[string]Extent // by path
	// records are the directory records of each file, in all trees.
	records map[string][]where
	read    int // records
}

// A where is a directory record: its offset in bytes, and the sector that its tree counts
// from.
type where struct {
	at   int64
	base uint32
}

// Open reads the directories of an image of size bytes. Paths are those of Rock Ridge, or
// else the plain ones without ";1".
func Open(r io.ReaderAt, size int64) (*Image, error) {
	i := &Image{r: r, size: size, files: map[string]Extent{}, records: map[string][]where{}}
	if err := i.readSet(firstDescriptor, 0); err != nil {
		return nil, err
	}
	if b, err := i.sector(partDescriptor); err == nil && isDescriptor(b) && b[0] == typePrimary {
		return i, i.readSet(partDescriptor, partitionStart)
	}
	return i, nil
}

// ReadLabel returns the label of the file system in r, "" if there is none. It reads one
// sector.
func ReadLabel(r io.ReaderAt) string {
	b := make([]byte, SectorSize)
	if n, _ := r.ReadAt(b, firstDescriptor*SectorSize); n < len(b) || !isDescriptor(b) || b[0] != typePrimary {
		return ""
	}
	return strings.TrimRight(string(b[40:72]), " \x00")
}

func isDescriptor(b []byte) bool { return string(b[1:6]) == "CD001" }

func (i *Image) sector(n uint32) ([]byte, error) {
	b := make([]byte, SectorSize)
	if got, err := i.r.ReadAt(b, int64(n)*SectorSize); got < len(b) {
		return nil, fmt.Errorf("reading sector %d: %w", n, orShort(err))
	}
	return b, nil
}

// readSet reads the trees of one set of descriptors.
func (i *Image) readSet(first, base uint32) error {
	for n := range uint32(maxDescriptors) {
		b, err := i.sector(first + n)
		if err != nil && n == 0 {
			return fmt.Errorf("%w: %w", ErrNotISO, err)
		}
		if err != nil {
			return err
		}
		switch {
		case !isDescriptor(b) && n == 0:
			return ErrNotISO
		case !isDescriptor(b):
			return fmt.Errorf("%w: sector %d is no volume descriptor", ErrDamaged, first+n)
		case b[0] == typeEnd:
			return nil
		case b[0] == typePrimary && base == 0:
			i.Label = strings.TrimRight(string(b[40:72]), " \x00")
		}
		joliet := b[0] == typeJoliet && b[88] == '%' && b[89] == '/'
		if b[0] != typePrimary && !joliet {
			continue
		}
		w := walk{Image: i, base: base, joliet: joliet, seen: map[uint32]bool{}}
		if err := w.directory("", b[156:190], 0); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: it has more than %d volume descriptors", ErrDamaged, maxDescriptors)
}

// A walk goes through the directories of one tree.
type walk struct {
	*Image
	base   uint32
	joliet bool
	seen   map[uint32]bool // sectors of directories
}

// directory reads the directory that a record leads to.
func (w walk) directory(dir string, rec []byte, depth int) error {
	at, size := binary.LittleEndian.Uint32(rec[2:]), binary.LittleEndian.Uint32(rec[10:])
	if depth > maxDepth || size > maxDirectory || w.seen[at] {
		return fmt.Errorf("%w: directory %q is too deep, too large, or its own parent", ErrDamaged, dir)
	}
	w.seen[at] = true
	b, start := make([]byte, size), (int64(at)+int64(w.base))*SectorSize
	if got, err := w.r.ReadAt(b, start); got < len(b) {
		return fmt.Errorf("%w: directory %q: %w", ErrDamaged, dir, orShort(err))
	}
	for pos := 0; pos < len(b); {
		n := int(b[pos])
		if n == 0 { // the rest of the sector is empty
			pos = (pos/SectorSize + 1) * SectorSize
			continue
		}
		if n < recordSize+1 || pos+n > len(b) || recordSize+int(b[pos+32]) > n {
			return fmt.Errorf("%w: a record of directory %q", ErrDamaged, dir)
		}
		if err := w.record(dir, b[pos:pos+n], start+int64(pos), depth); err != nil {
			return err
		}
		pos += n
	}
	return nil
}

func (w walk) record(dir string, rec []byte, at int64, depth int) error {
	if w.Image.read++; w.Image.read > maxRecords {
		return fmt.Errorf("%w: it has more than %d entries", ErrDamaged, maxRecords)
	}
	name := w.name(rec)
	if name == "\x00" || name == "\x01" {
		return nil
	}
	if rec[25]&flagDirectory != 0 {
		return w.directory(dir+name+"/", rec, depth+1)
	}
	path := dir + name
	e := Extent{(int64(binary.LittleEndian.Uint32(rec[2:])) + int64(w.base)) * SectorSize, int64(binary.LittleEndian.Uint32(rec[10:]))}
	if e.Offset+e.Size > w.size {
		return fmt.Errorf("%w: %q ends at %d, the image at %d: is it cut short?", ErrDamaged, path, e.Offset+e.Size, w.size)
	}
	if _, known := w.files[path]; !known {
		w.files[path] = e
	}
	w.records[path] = append(w.records[path], where{at, w.base})
	return nil
}

// name returns the name in a record: that of Rock Ridge, if there is one.
func (w walk) name(rec []byte) string {
	raw := rec[recordSize : recordSize+int(rec[32])]
	if len(raw) == 1 && raw[0] <= 1 {
		return string(raw)
	}
	if w.joliet {
		var units []uint16
		for ; len(raw) >= 2; raw = raw[2:] {
			units = append(units, binary.BigEndian.Uint16(raw))
		}
		return plainName(string(utf16.Decode(units)))
	}
	after := recordSize + len(raw)
	if rock := rockRidgeName(rec[min(after+after%2, len(rec)):]); rock != "" {
		return rock
	}
	return plainName(string(raw))
}

func plainName(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return strings.TrimSuffix(s, ".")
}

// rockRidgeName finds the entries NM of a system use area.
func rockRidgeName(area []byte) (name string) {
	for len(area) >= 5 {
		n := int(area[2])
		if n < 4 || n > len(area) {
			break
		}
		if area[0] == 'N' && area[1] == 'M' && n > 5 {
			name += string(area[5:n])
		}
		area = area[n:]
	}
	return name
}

// Extent returns where the content of a file is.
func (i *Image) Extent(path string) (Extent, bool) {
	e, ok := i.files[path]
	return e, ok
}

// File returns the content of a file.
func (i *Image) File(path string) (*io.SectionReader, error) {
	e, ok := i.files[path]
	if !ok {
		return nil, fmt.Errorf("%q: %w", path, ErrNoFile)
	}
	return io.NewSectionReader(i.r, e.Offset, e.Size), nil
}

// Files returns all files.
func (i *Image) Files() map[string]Extent { return i.files }

// Point makes the name of a file lead to other content: an extent of the image, at a
// multiple of SectorSize. The content is there already, on the medium. Each directory
// record changes by one write of 16 bytes in one sector; the primary tree, which Linux
// reads, is the first.
func (i *Image) Point(w io.WriterAt, path string, to Extent) error {
	records := i.records[path]
	if len(records) == 0 {
		return fmt.Errorf("%q: %w", path, ErrNoFile)
	}
	if to.Offset%SectorSize != 0 || to.Offset < 0 || to.Size < 0 || to.Size > MaxFile || to.Offset+to.Size > i.size {
		return fmt.Errorf("BUG: %q cannot be at %d with %d bytes", path, to.Offset, to.Size)
	}
	for _, r := range records {
		b := append(both32(uint32(to.Offset/SectorSize)-r.base), both32(uint32(to.Size))...)
		if _, err := w.WriteAt(b, r.at+2); err != nil {
			return fmt.Errorf("writing the directory record of %q: %w", path, err)
		}
	}
	i.files[path] = to
	return nil
}
