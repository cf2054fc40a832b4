// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// A fat is a FAT32 file system that may be damaged. A cluster chain that leads nowhere,
// or in a circle, is an error and no endless loop; the reader of go-diskfs cannot
// promise that. A fat reads as GRUB does: only the first FAT, and no FSInfo. Files are
// listed by their short names in upper case.
type fat struct {
	r           io.ReaderAt
	table       []byte
	clusterSize int64
	data        int64 // offset of cluster 2
	root        uint32
	clusters    uint32 // number of the last cluster plus 1
}

// A fatFile is a regular file.
type fatFile struct {
	first uint32
	size  int64
}

const (
	fatEntry      = 32
	fatEndOfChain = 0x0ffffff8
)

var errNoFAT = errors.New("no FAT32 file system")

func openFAT(r io.ReaderAt, size int64) (*fat, error) {
	b := make([]byte, SectorSize)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("reading the boot sector: %w", err)
	}
	le := binary.LittleEndian
	sector, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, fats, perFAT := int64(le.Uint16(b[14:])), int64(b[16]), int64(le.Uint32(b[36:]))
	total := int64(le.Uint32(b[32:]))
	meta := reserved + fats*perFAT
	switch {
	case b[510] != 0x55 || b[511] != 0xaa || string(b[82:87]) != "FAT32":
		return nil, fmt.Errorf("boot sector: %w", errNoFAT)
	case sector != SectorSize || perCluster == 0 || fats == 0 || reserved == 0 || total*sector > size || meta >= total:
		return nil, fmt.Errorf("boot sector: %w: %d sectors of %d bytes in a partition of %d bytes", errNoFAT, total, sector, size)
	}
	f := &fat{r: r, clusterSize: perCluster * sector, data: meta * sector, root: le.Uint32(b[44:])}
	f.clusters = uint32(min((total-meta)/perCluster+2, perFAT*sector/4))
	f.table = make([]byte, int64(f.clusters)*4)
	if _, err := r.ReadAt(f.table, reserved*sector); err != nil {
		return nil, fmt.Errorf("reading the file allocation table: %w", err)
	}
	return f, nil
}

// chain lists the clusters from first on.
func (f *fat) chain(first uint32) ([]uint32, error) {
	var list []uint32
	for at := first; at < fatEndOfChain; {
		if at < 2 || at >= f.clusters {
			return nil, fmt.Errorf("the chain from cluster %d leads to cluster %d", first, at)
		}
		if len(list) > len(f.table)/4 {
			return nil, fmt.Errorf("the chain from cluster %d is a circle", first)
		}
		list = append(list, at)
		at = binary.LittleEndian.Uint32(f.table[at*4:]) & 0x0fffffff
	}
	return list, nil
}

// copy writes a file's contents to w.
func (f *fat) copy(w io.Writer, file fatFile) error {
	if file.size == 0 {
		return nil
	}
	list, err := f.chain(file.first)
	if err != nil {
		return err
	}
	if have := int64(len(list)) * f.clusterSize; have < file.size {
		return fmt.Errorf("%d bytes in clusters, its entry says %d", have, file.size)
	}
	left := file.size
	for i := 0; i < len(list) && left > 0; {
		run := i + 1
		for run < len(list) && list[run] == list[run-1]+1 {
			run++
		}
		n := min(left, int64(run-i)*f.clusterSize)
		off := f.data + int64(list[i]-2)*f.clusterSize
		if _, err := io.Copy(w, io.NewSectionReader(f.r, off, n)); err != nil {
			return err
		}
		left -= n
		i = run
	}
	return nil
}

// files lists all files by their paths.
func (f *fat) files() (map[string]fatFile, error) {
	w := fatWalk{f, map[string]fatFile{}, map[uint32]bool{}}
	return w.list, w.directory("", f.root)
}

// A fatWalk goes through all directories, and through each only once.
type fatWalk struct {
	*fat
	list map[string]fatFile
	seen map[uint32]bool // by first cluster
}

func (w fatWalk) directory(dir string, first uint32) error {
	if w.seen[first] {
		return fmt.Errorf("directory %q: its cluster %d is another directory's too", dir, first)
	}
	w.seen[first] = true
	chain, err := w.chain(first)
	if err != nil {
		return fmt.Errorf("directory %q: %w", dir, err)
	}
	b := make([]byte, w.clusterSize)
	for _, n := range chain {
		if _, err := w.r.ReadAt(b, w.data+int64(n-2)*w.clusterSize); err != nil {
			return fmt.Errorf("directory %q: %w", dir, err)
		}
		end, err := w.entries(dir, b)
		if err != nil || end {
			return err
		}
	}
	return nil
}

// entries reads one cluster of a directory. end reports that the directory ends here.
func (w fatWalk) entries(dir string, b []byte) (end bool, err error) {
	const deleted, label, subdirectory = 0xe5, 0x08, 0x10 // a part of a long name has the label bit too
	le := binary.LittleEndian
	for ; len(b) >= fatEntry; b = b[fatEntry:] {
		kind := b[11]
		switch {
		case b[0] == 0:
			return true, nil
		case b[0] == deleted || b[0] == '.' || kind&label != 0:
			continue
		}
		name := path.Join(dir, shortName(b))
		first := uint32(le.Uint16(b[20:]))<<16 | uint32(le.Uint16(b[26:]))
		if kind&subdirectory == 0 {
			w.list[name] = fatFile{first, int64(le.Uint32(b[28:]))}
			continue
		}
		if err := w.directory(name, first); err != nil {
			return false, err
		}
	}
	return false, nil
}

func shortName(b []byte) string {
	name := strings.TrimRight(string(b[:8]), " ")
	if ext := strings.TrimRight(string(b[8:11]), " "); ext != "" {
		name += "." + ext
	}
	return strings.ToUpper(name)
}
