// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/virtualdisk"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// A diskFile is a file to write with the disk of an image.
type diskFile struct {
	virtualdisk.Order
	path string
}

// isRaw tells whether the file is the raw disk itself.
func (f diskFile) isRaw() bool { return f.Format.Name == kindRaw && f.Compression == "" }

// A diskSet is the disk of an image, in several files.
type diskSet struct {
	files    []diskFile
	image    *rootImage
	digest   string // of the OCI image: identifiers are derived from it
	spec     disk.Spec
	checksum bool                            // of each file
	free     func(dir string) (int64, error) // bytes; default freeSpace
}

// write writes all files. The raw disk comes first, under its name if it is asked for;
// the others are made from it in one pass.
func (s diskSet) write(ctx context.Context) (made []Disk, err error) {
	root, err := os.Open(s.image.path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	image := *s.image.image
	image.Digest = s.digest
	s.spec.Image, s.spec.Root, s.spec.ID = &image, root, sha256.Sum256([]byte(s.digest))
	s.spec.BootLoader, s.spec.Whole = diskLoader, s.checksum && s.rawAlone()
	if err := s.checkSpace(); err != nil {
		return nil, err
	}
	raw, result, err := s.writeRaw(ctx)
	if s.spec.Sizes != (layout.Sizes{}) && errors.Is(err, disk.ErrTooLarge) {
		return nil, badInput(fmt.Errorf("%w: see --slot-size and --recovery-size", err))
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	files, err := s.convert(ctx, raw, result)
	if err != nil {
		return nil, err
	}
	return s.describe(files, result)
}

func (s diskSet) rawAlone() bool { return len(s.files) == 1 && s.files[0].isRaw() }

// writeRaw writes the raw disk, with or without a name, and opens it.
func (s diskSet) writeRaw(ctx context.Context) (*os.File, disk.Result, error) {
	i := slices.IndexFunc(s.files, diskFile.isRaw)
	if i < 0 {
		return disk.Scratch(ctx, s.dir(), s.spec)
	}
	result, err := disk.Write(ctx, s.files[i].path, s.spec)
	if err != nil {
		return nil, result, err
	}
	f, err := os.Open(s.files[i].path)
	return f, result, err
}

// dir is the folder of the files.
func (s diskSet) dir() string { return filepath.Dir(s.files[0].path) }

// convert writes all files but the raw disk, which it only hashes.
func (s diskSet) convert(ctx context.Context, raw *os.File, r disk.Result) (made []virtualdisk.Made, err error) {
	if s.rawAlone() {
		return []virtualdisk.Made{{Size: r.Size, SHA256: r.SHA256}}, nil
	}
	var orders []virtualdisk.Order
	var open []*durable.File
	for _, f := range s.files {
		o := f.Order
		o.Hash = s.checksum
		if !f.isRaw() {
			out, err := durable.New(f.path, 0o666)
			if err != nil {
				return nil, errors.Join(disk.Explain(f.path, s.need(), r.Size, err), discard(open))
			}
			o.File, open = out.File, append(open, out)
		}
		orders = append(orders, o)
	}
	// Disks of the same image with different configs are different for VirtualBox, too.
	id := sha256.Sum256([]byte(disk.Content(r.Size, r.Extents)))
	made, err = virtualdisk.Write(ctx, virtualdisk.Disk{Size: r.Size, Data: raw, Extents: r.Extents, ID: id}, orders)
	if err != nil {
		return nil, errors.Join(disk.Explain(s.dir()+"/", s.need(), r.Size, err), discard(open))
	}
	for i, f := range open {
		if err := f.Publish(); err != nil {
			return nil, errors.Join(err, discard(open[i+1:]))
		}
	}
	return made, nil
}

func discard(files []*durable.File) error {
	var all []error
	for _, f := range files {
		all = append(all, f.Discard())
	}
	return errors.Join(all...)
}

// describe describes the files that were written.
func (s diskSet) describe(files []virtualdisk.Made, r disk.Result) ([]Disk, error) {
	var all []Disk
	for i, f := range s.files {
		var st syscall.Stat_t
		if err := syscall.Stat(f.path, &st); err != nil {
			return nil, &os.PathError{Op: "stat", Path: f.path, Err: err}
		}
		all = append(all, Disk{
			Kind: f.Format.Name, Compression: f.Compression, Path: filepath.Base(f.path),
			Size: r.Size, FileSize: files[i].Size, Allocated: st.Blocks * 512, Content: disk.Content(r.Size, r.Extents),
			SHA256: files[i].SHA256, Extents: r.Extents, RootHash: hex.EncodeToString(s.image.image.Tree.RootHash[:]),
		})
	}
	return all, nil
}

// need estimates the bytes of all files together.
func (s diskSet) need() int64 {
	raw := disk.Need(s.spec)
	sketch, n := s.sketch(raw), int64(0)
	if !slices.ContainsFunc(s.files, diskFile.isRaw) {
		n = raw // it is written all the same, without a name
	}
	for _, f := range s.files {
		n += f.Format.Room(sketch, f.Compression)
	}
	return n
}

// sketch is a disk with data bytes, as far as that is known before it is written.
func (s diskSet) sketch(data int64) virtualdisk.Disk {
	root := s.spec.Image.Tree.Size
	slot := (root>>20 + 1) << 20
	d := virtualdisk.Disk{}
	for range layout.Slots() {
		d.Extents = append(d.Extents, disk.Extent{Offset: d.Size, Size: root, SHA256: "root image"})
		d.Size += slot
	}
	rest := max(1, data-root*int64(len(layout.Slots())))
	d.Extents = append(d.Extents, disk.Extent{Offset: d.Size, Size: rest, SHA256: "everything else"})
	d.Size += (rest>>20 + 1) << 20
	return d
}

// checkSpace refuses to begin what cannot end. Old files are there until the new ones are
// complete.
func (s diskSet) checkSpace() error {
	free := s.free
	if free == nil {
		free = freeSpace
	}
	have, err := free(s.dir())
	if err != nil {
		return nil // the writer will say what is wrong with the folder
	}
	if need := s.need(); need > have {
		return fmt.Errorf("writing the disk: it needs about %d MiB in %q, and %d MiB are free: free some, or choose another folder with -o", need>>20, s.dir(), have>>20)
	}
	return nil
}

// freeSpace is what this user can write to a folder, in bytes.
func freeSpace(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if st.Blocks == 0 {
		return 0, fmt.Errorf("%s is on a file system without a size", dir)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// names are the files, for people.
func (s diskSet) names() string {
	var all []string
	for _, f := range s.files {
		all = append(all, filepath.Base(f.path))
	}
	return strings.Join(all, ", ")
}
