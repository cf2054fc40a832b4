// SPDX-License-Identifier: Apache-2.0

// Package slotimage turns the layers of an OCI image into the contents of a slot: the
// root image (EROFS or SquashFS with its dm-verity tree) and the files of the boot partition. The
// builder and the node run the same code and get the same bytes. The package owns how
// layers are merged and what is left out of the root. It does not fetch, decompress or
// check layers, and writes to no partition table.
//
// # Merging
//
// The layers are read once, from the top to the bottom, and file contents go
// straight to the image. An entry is skipped when a higher layer has its path, or a
// file at one of its parents, or a whiteout. The result is the same as applying the
// layers from the bottom up, with these rules where tools differ:
//
//   - framework/internal/layers defines what an entry or a marker hides.
//   - A directory has the metadata of the highest layer that has an entry for
//     it; directories that are only parents of entries get 0755 0:0.
//   - A hard link refers to the file as its own layer saw it, even if a higher
//     layer hides or replaces that file.
//   - A parent of a path must be a directory. If a lower layer, or the same one,
//     has something else there, such as a symbolic link, that is an error: tools
//     treat it differently.
//
// Layers are read again in two rare cases: for a hard link to a file that a higher
// layer hides, and for a hard link between the root image and what is left out of it.
//
// # What is left out
//
// Everything below /boot and the folder layout.ImageBoot. The kernel, the
// initrd, the boot loader, layout.ImageCmdline and layout.ImageRelease are
// returned in Image. Mount points that the image lacks are made.
package slotimage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/squashfs"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// A BootLoader starts a slot from its boot partition. GRUB is one
// (framework/grub/bootconf).
type BootLoader interface {
	// CheckCmdline refuses kernel arguments of an image that would not reach the
	// kernel unchanged. Errors name layout.ImageCmdline.
	CheckCmdline(line string) error
	// Files returns the files by which the boot loader starts a kernel with args:
	// arguments that CheckCmdline accepts, and those of dm-verity.
	Files(kernel, initrd []byte, args string) []fat32.File
}

// A Layer is one layer of an OCI image. Slices of layers go from the bottom to
// the top, as in the image's manifest.
type Layer struct {
	// DiffID is the digest of the uncompressed tar, "sha256:…". This package does
	// not check it; the reader of Open does, if necessary.
	DiffID string
	// Open returns the uncompressed tar. It is read to its end, and may be opened
	// more than once.
	Open func() (io.ReadCloser, error)
	// Root is the format of the root image that the image of the layer asks for:
	// layout.EROFS, which is the default, or layout.SquashFS. All layers of an image say
	// the same.
	Root layout.FileSystem
	// Foreign says that something else than kairos-build added the layer. It may not have
	// set-uid and set-gid files, file capabilities, and devices.
	Foreign bool
}

// An Image is what a slot holds besides the root image itself.
type Image struct {
	// Tree describes the root image: EROFS or SquashFS of Tree.DataSize bytes, then the
	// verity superblock and tree, Tree.Size bytes in all.
	Tree           verity.Tree
	Kernel, Initrd []byte
	// Cmdline is the image's own kernel arguments: one line, or empty.
	Cmdline string
	// Release has the keys of layout.ImageRelease.
	Release map[string]string
	// Reference, Digest and Trust say where the image came from, and who vouches for it.
	// Write does not know them: the caller may set them before BootFiles. Empty means
	// unknown.
	Reference string // by which the image was requested
	Digest    string // of the image's manifest, "sha256:…"
	Trust     string // see Label
	// Bootloader has the files below layout.ImageBoot: "bios/core.img" and so on.
	Bootloader map[string][]byte
}

// Write writes the root image of layers to the beginning of out and returns the rest of
// the slot. The bytes depend only on the layers; UUID and salt are derived from their
// diff IDs. Errors name the layer, counted from 0 at the bottom, and the path. Write
// checks the kernel arguments for loader. It needs memory for the kernel, the initrd,
// and about 1 KiB for each file.
func Write(ctx context.Context, out interface {
	io.ReaderAt
	io.WriterAt
}, layers []Layer, loader BootLoader) (*Image, error) {
	id := Identity(layers)
	tree := verity.NewStream(out, verity.Params{Salt: id, UUID: uuid(id)})
	root := newRoot(tree, layers, id)
	defer root.Abort()
	m := newMerger(root)
	if err := m.merge(ctx, layers); err != nil {
		return nil, err
	}
	image, err := m.kept.image(loader)
	if err != nil {
		return nil, err
	}
	if err := m.finish(); err != nil {
		return nil, err
	}
	image.Tree, err = closeRoot(root, tree)
	if err != nil {
		return nil, fmt.Errorf("finishing the root image: %w", err)
	}
	return image, nil
}

func closeRoot(root rootWriter, tree *verity.Stream) (verity.Tree, error) {
	size, err := root.Close()
	if err != nil {
		return verity.Tree{}, err
	}
	t, err := tree.Close()
	if err == nil && t.DataSize != size {
		err = fmt.Errorf("BUG: the hash tree covers %d bytes of an image of %d", t.DataSize, size)
	}
	return t, err
}

// A rootWriter writes the files of a root image: see erofs.Writer.
type rootWriter interface {
	Add(e erofs.Entry, r io.Reader) error
	Link(path, target string) error
	Remove(path string) error
	Has(path string) (exists, dir bool)
	SetBuildTime(seconds int64)
	Close() (size int64, err error)
	Abort()
}

// newRoot begins a root image of the format that the layers ask for. SquashFS has no UUID.
func newRoot(to io.WriterAt, layers []Layer, id [32]byte) rootWriter {
	if RootFormat(layers) == layout.SquashFS {
		return squashfs.NewWriter(to)
	}
	return erofs.NewWriter(to, erofs.Options{UUID: uuid(id)})
}

// RootFormat is the format of the root image that Write makes of layers.
func RootFormat(layers []Layer) layout.FileSystem {
	if len(layers) > 0 && layers[0].Root != "" {
		return layers[0].Root
	}
	return layout.EROFS
}

// Identity returns the SHA-256 of "kairos-root-v1\n" and the diff IDs joined by
// newlines. It is the salt of the hash tree.
func Identity(layers []Layer) [32]byte {
	ids := make([]string, len(layers))
	for i, l := range layers {
		ids[i] = l.DiffID
	}
	return sha256.Sum256([]byte("kairos-root-v1\n" + strings.Join(ids, "\n")))
}

// uuid returns the beginning of an identity as a UUID of version 8 (RFC 9562).
func uuid(id [32]byte) [16]byte {
	u := [16]byte(id[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// KernelArgs returns the kernel arguments of the slot: those of dm-verity, then the
// image's own.
func (i *Image) KernelArgs() string {
	args := fmt.Sprintf("%s=%x %s=%d %s", layout.ArgRootHash, i.Tree.RootHash, layout.ArgHashOffset, i.Tree.HashOffset, i.Cmdline)
	return strings.TrimSpace(args)
}

// BootFiles returns the files of the slot's boot partition.
func (i *Image) BootFiles(loader BootLoader) []fat32.File {
	files := loader.Files(i.Kernel, i.Initrd, i.KernelArgs())
	return append(files, fat32.File{Path: layout.BootLabel, Data: i.Label().Encode()})
}

// Label returns what identifies the image in its slot.
func (i *Image) Label() Label {
	return Label{
		Version: i.Release["KAIROS_VERSION"], Image: i.Reference, Digest: i.Digest, RootHash: fmt.Sprintf("%x", i.Tree.RootHash), Trust: i.Trust,
	}
}

// notOurs wraps the error for a file that is missing from an image.
func notOurs(err error, path string) error {
	return fmt.Errorf("%w at %s: is this a kairos-build image?", err, path)
}
