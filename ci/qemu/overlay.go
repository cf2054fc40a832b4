// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A Patch replaces the bytes of a disk from Offset on.
type Patch struct {
	Offset int64
	Data   []byte
}

// An Overlay is a qcow2 image with the contents of a raw backing file, except for its
// patches. It is written here and not with qemu-img: one program less must be installed,
// and patches need no second file.
type Overlay struct {
	Backing string // raw image; it must not change while the overlay is in use
	Size    int64  // bytes the guest sees; 0 means the size of Backing
	Patches []Patch
}

// maxBackingName is the format's limit of the backing file's path, in bytes.
const maxBackingName = 1023

// Write makes the file at path. It leaves no file after an error.
func (o Overlay) Write(path string) (err error) {
	backing, err := os.Open(o.Backing)
	if err != nil {
		return fmt.Errorf("opening the disk to boot: %w", err)
	}
	defer backing.Close() // read only
	info, err := backing.Stat()
	if err != nil {
		return fmt.Errorf("asking for the size of the disk to boot: %w", err)
	}
	o.Size = max(o.Size, info.Size())
	if o.Backing, err = filepath.Abs(o.Backing); err != nil {
		return fmt.Errorf("finding the disk to boot: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making the copy-on-write file of %s: %w", o.Backing, err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(fmt.Errorf("making the copy-on-write file of %s: %w", o.Backing, err), os.Remove(path))
		}
	}()
	return o.write(f, backing)
}

func (o Overlay) write(w io.WriterAt, backing io.ReaderAt) error {
	if err := o.check(); err != nil {
		return err
	}
	clusters, err := o.patched(backing)
	if err != nil {
		return err
	}
	return o.place(clusters).write(w)
}

func (o Overlay) check() error {
	if len(o.Backing) > maxBackingName {
		return fmt.Errorf("the path of the disk is %d bytes long: qcow2 allows %d", len(o.Backing), maxBackingName)
	}
	for _, p := range o.Patches {
		if p.Offset < 0 || p.Offset+int64(len(p.Data)) > o.Size {
			return fmt.Errorf("a patch of %d bytes at %d is outside of the disk, which has %d bytes", len(p.Data), p.Offset, o.Size)
		}
	}
	return nil
}

// patched returns the changed clusters of the disk by their numbers.
func (o Overlay) patched(backing io.ReaderAt) (map[int64][]byte, error) {
	clusters := map[int64][]byte{}
	for _, p := range o.Patches {
		for done := 0; done < len(p.Data); {
			at := p.Offset + int64(done)
			n := at / clusterSize
			if clusters[n] == nil {
				clusters[n] = make([]byte, clusterSize)
				_, err := backing.ReadAt(clusters[n], n*clusterSize)
				if err != nil && !errors.Is(err, io.EOF) {
					return nil, fmt.Errorf("reading the disk at %d: %w", n*clusterSize, err)
				}
			}
			done += copy(clusters[n][at%clusterSize:], p.Data[done:])
		}
	}
	return clusters, nil
}
