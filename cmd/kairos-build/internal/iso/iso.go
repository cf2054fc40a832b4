// SPDX-License-Identifier: Apache-2.0

// Package iso makes the installer medium of an image: what goes on the ISO, and how a
// cloud-config is put into a finished one. framework/ondisk/iso9660 owns the format,
// framework/layout the live tree, framework/grub the boot loader. docs/iso.md is for
// users.
//
// # What is on the ISO
//
//	/boot/grub/         GRUB for BIOS and its menu
//	/EFI/               shim, GRUB and the same menu; once more in the EFI image
//	/kairos/            the live tree of layout: the slot's files, root.img, config.space
//	/*.yaml             cloud-configs; config.yaml is always there, and is the last to count
//
// # How a config is replaced
//
// The file config.space has two halves, and config.yaml is a second name for the beginning
// of one of them. AddConfig writes to the other half, flushes, and then makes config.yaml
// lead there. At every moment there is the old config or the new one. Then it clears the
// old half: a config may hold secrets.
//
// Everything that does not depend on the config comes first: media that differ only in
// their config begin with the same bytes.
package iso

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// MinSpace is the least room for a config in a finished ISO, in bytes.
const MinSpace = 512 << 10

// DefaultConfig is the content of config.yaml without a config: a valid one that asks for
// nothing.
const DefaultConfig = "#cloud-config\n# kairos-build iso add-config puts a config here\n{}\n"

// MinPersistent is the smallest persistent partition, in bytes.
const MinPersistent = 64 * layout.MiB

// A BootLoader is the boot loader of a medium.
type BootLoader struct {
	slotimage.BootLoader // its files beside kernel and initrd
	// Core and Hybrid start the medium under BIOS, as iso9660.BIOS describes; nil: nothing
	// does. Core is at the path CorePath.
	Core, Hybrid []byte
	CorePath     string
	EFI          []fat32.File // of the EFI image, and of the tree; nil: nothing starts under UEFI
	Menu         []fat32.File // of the tree only
}

// A Spec says what ISO to write.
type Spec struct {
	Image *slotimage.Image
	// BootLoader makes the boot loader from the files in Image.Bootloader.
	BootLoader func(files map[string][]byte) (BootLoader, error)
	Root       io.ReaderAt // the root image: Image.Tree.Size bytes
	// Digest is that of the OCI image. All identifiers are derived from it.
	Digest string
	// Configs are cloud-configs. The last is config.yaml, those before are 90_custom.yaml
	// and so on, so that they count in this order.
	Configs [][]byte
	// Persistent is the size in bytes of a partition on which a live system keeps its
	// data; 0: none.
	Persistent int64
	Time       time.Time // of all files
}

// A Result describes an ISO that was written.
type Result struct {
	Size   int64
	SHA256 string // hex
}

// Write writes the ISO to the file path and replaces an older file. All checks come
// before the first write; the file appears when it is complete.
func Write(ctx context.Context, path string, s Spec) (r Result, err error) {
	files, options, err := contents(s)
	if err != nil {
		return r, fmt.Errorf("planning the ISO %q: %w", path, err)
	}
	if r.Size, err = iso9660.Size(files, options); err != nil {
		return r, fmt.Errorf("planning the ISO %q: %w", path, err)
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return r, fmt.Errorf("writing the ISO %q: there is something that is not a file (%s): remove it, or choose another name", path, info.Mode().Type())
	}
	out, err := durable.New(path, 0o666)
	if err != nil {
		return r, fmt.Errorf("writing the ISO %q: %w", path, err)
	}
	err = out.Truncate(r.Size)
	if err == nil {
		_, err = iso9660.Write(ctx, out, files, options)
	}
	if err == nil {
		r.SHA256, err = digest(ctx, out, r.Size)
	}
	if err != nil {
		return r, errors.Join(fmt.Errorf("writing the ISO %q, which needs about %d MiB: %w", path, r.Size>>20, err), out.Discard())
	}
	return r, out.Publish()
}

// digest returns the SHA-256 of the file, in hex.
func digest(ctx context.Context, r io.ReaderAt, size int64) (string, error) {
	sum, from := sha256.New(), io.NewSectionReader(r, 0, size)
	for {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		if n, err := io.CopyN(sum, from, 64<<20); errors.Is(err, io.EOF) {
			return hex.EncodeToString(sum.Sum(nil)), nil
		} else if err != nil {
			return "", fmt.Errorf("reading what was written, at %d: %w", n, err)
		}
	}
}

// contents returns everything on the ISO.
func contents(s Spec) (files []iso9660.File, o iso9660.Options, err error) {
	loader, err := s.BootLoader(s.Image.Bootloader)
	if err == nil {
		err = slotimage.CheckCmdline(s.Image.Cmdline, loader)
	}
	if err != nil {
		return nil, o, err
	}
	o = iso9660.Options{Label: layout.LabelLive, Time: s.Time, ID: s.id}
	if loader.Core != nil {
		o.BIOS = &iso9660.BIOS{Path: loader.CorePath, MBR: loader.Hybrid}
		files = append(files, file(loader.CorePath, loader.Core))
	}
	if loader.EFI != nil {
		if o.EFI, err = s.efiImage(loader.EFI); err != nil {
			return nil, o, err
		}
	}
	for _, f := range slices.Concat(loader.Menu, loader.EFI) {
		files = append(files, file(f.Path, f.Data))
	}
	o.Partitions, err = s.partitions()
	return slices.Concat(files, s.tree(loader), s.configs()), o, err
}

func file(path string, data []byte) iso9660.File {
	return iso9660.File{Path: path, Size: int64(len(data)), Data: bytes.NewReader(data)}
}

// tree returns the files of the live tree.
func (s Spec) tree(loader slotimage.BootLoader) (files []iso9660.File) {
	image := *s.Image
	image.Digest = s.Digest
	for _, f := range image.BootFiles(loader) {
		files = append(files, file(layout.LiveTree+"/"+f.Path, f.Data))
	}
	for _, name := range slices.Sorted(maps.Keys(image.Bootloader)) {
		files = append(files, file(layout.LiveBootLoader+"/"+name, image.Bootloader[name]))
	}
	return append(files, iso9660.File{Path: layout.LiveRoot, Size: image.Tree.Size, Data: s.Root})
}

// configs returns the cloud-configs, the last one with room for another.
func (s Spec) configs() (files []iso9660.File) {
	last := []byte(DefaultConfig)
	for i, c := range s.Configs {
		if i == len(s.Configs)-1 {
			last = c
			break
		}
		files = append(files, file(fmt.Sprintf("%02d_custom.yaml", 90+i), c))
	}
	half := max(int64(len(last)), MinSpace)
	half = (half + iso9660.SectorSize - 1) / iso9660.SectorSize * iso9660.SectorSize
	space := make([]byte, 2*half)
	copy(space, last)
	return append(files, file(layout.LiveSpace, space), iso9660.File{Path: layout.LiveConfig, Size: int64(len(last)), Within: layout.LiveSpace})
}

// efiImage makes the FAT file system from which UEFI starts.
func (s Spec) efiImage(files []fat32.File) ([]byte, error) {
	b := make(buffer, fat32.SizeFAT16(files))
	id := s.derive("volume EFI")
	err := fat32.WriteFAT16(b, int64(len(b)), files, fat32.Options{
		Label: "EFI_LIVE", Time: s.Time, VolumeID: uint32(id[0]) | uint32(id[1])<<8 | uint32(id[2])<<16 | uint32(id[3])<<24,
	})
	return b, err
}

// A buffer is a file in memory of a fixed size.
type buffer []byte

func (b buffer) WriteAt(p []byte, at int64) (int, error) { return copy(b[at:], p), nil }

// partitions returns the partition that keeps data.
func (s Spec) partitions() ([]iso9660.Partition, error) {
	if s.Persistent == 0 {
		return nil, nil
	}
	if s.Persistent < MinPersistent {
		return nil, fmt.Errorf("a persistent partition of %d MiB: want at least %d", s.Persistent>>20, MinPersistent>>20)
	}
	kind, err := gpt.ParseGUID(layout.TypeLinux)
	if err != nil {
		return nil, err
	}
	size := (s.Persistent + layout.Alignment - 1) / layout.Alignment * layout.Alignment
	return []iso9660.Partition{{
		Name: layout.PartPersistent, Type: kind, Size: size,
		Write: func(w io.WriterAt) error {
			return ext4.Write(w, size, nil, ext4.Options{Label: layout.LabelPersistent, UUID: s.id("file system " + layout.PartPersistent), Time: s.Time})
		},
	}}, nil
}

func (s Spec) id(what string) gpt.GUID { return gpt.DeriveGUID(s.derive(what)) }

func (s Spec) derive(what string) [32]byte {
	return sha256.Sum256([]byte("kairos-iso-v1\n" + what + "\n" + s.Digest))
}
