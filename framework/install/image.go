// SPDX-License-Identifier: Apache-2.0

package install

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/internal/regular"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// The largest file of a boot partition, and of a boot loader, in bytes.
const (
	maxFile       = 512 << 20
	maxLoaderFile = 32 << 20
)

// ErrImage says that an image is missing, not whole, or was altered.
var ErrImage = errors.New("the image to install is not usable")

// An Image is what is installed.
type Image struct {
	Slot   *slotimage.Image
	Root   io.ReaderAt // the root image; nil with Stream
	Stream disk.Stream
	Time   time.Time // of the files in FAT and ext4
	From   string    // where it comes from, in words

	close []io.Closer
}

// Tree describes the root image.
func (i *Image) Tree() verity.Tree { return i.Slot.Tree }

// RootHash is the root hash in 64 hex digits.
func (i *Image) RootHash() string { return hex.EncodeToString(i.Slot.Tree.RootHash[:]) }

// ID is the seed of the disk's identifiers. The builder makes it from the digest too, so
// the disk has the bytes of disk.raw.
func (i *Image) ID() [32]byte { return sha256.Sum256([]byte(cmp.Or(i.Slot.Digest, i.RootHash()))) }

// String names the image.
func (i *Image) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", i.Slot.Release["KAIROS_VERSION"], i.From))
}

// Check compares every block of the root image with its root hash. A stream is checked when
// it is written.
func (i *Image) Check(ctx context.Context) error {
	if i.Root == nil {
		return nil
	}
	if err := verity.Verify(ctx, i.Root, i.Slot.Tree); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %s does not match the root hash %s: the medium is damaged, or was altered; write it anew: %w", ErrImage, i.From, i.RootHash(), err)
	}
	return nil
}

// Close closes the files.
func (i *Image) Close() (err error) {
	for _, c := range i.close {
		err = errors.Join(err, c.Close())
	}
	i.close = nil
	return err
}

// A Booted is the running system, whose image is installed.
type Booted struct {
	Boot    *thisboot.Boot
	Cmdline string            // layout.ImageCmdline, which is part of the verified root
	Release map[string]string // layout.ImageRelease
	// Dir is the root of the file system that has its devices; default "/".
	Dir string
	// Loader reads the boot loader of an installed disk, as the files of layout.ImageBoot.
	Loader func(whole io.ReaderAt, table *gpt.Table, esp io.ReaderAt) (map[string][]byte, error)
}

func (b Booted) tree() (verity.Tree, error) {
	hash, err := hex.DecodeString(b.Boot.RootHash)
	if err != nil || len(hash) != verity.HashSize {
		return verity.Tree{}, fmt.Errorf("the root hash of this boot is %q: want %d hex digits", b.Boot.RootHash, 2*verity.HashSize)
	}
	return verity.NewTree(b.Boot.HashOffset, [verity.HashSize]byte(hash))
}

// FromMedium opens the image of the live medium that is mounted at dir. It must be the one
// that runs: by its root hash.
func FromMedium(dir string, b Booted) (_ *Image, err error) {
	medium, dir := dir, filepath.Join(dir, layout.LiveTree)
	i := &Image{From: "from the medium at " + dir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w: reading %s: %w", ErrImage, dir, err), i.Close())
		}
	}()
	root, err := os.Open(filepath.Join(medium, layout.LiveRoot))
	if err != nil {
		return nil, err
	}
	i.Root, i.close = root, append(i.close, root)
	info, err := root.Stat()
	if err != nil {
		return nil, err
	}
	i.Time = info.ModTime()
	read := func(name string) ([]byte, error) { return regular.Read(filepath.Join(dir, name), maxFile) }
	if i.Slot, err = b.slot(read); err != nil {
		return nil, err
	}
	i.Slot.Bootloader, err = readFolder(filepath.Join(medium, layout.LiveBootLoader))
	return i, err
}

// FromSlot opens the image of the slot that runs, on the disk that was booted.
func FromSlot(b Booted) (_ *Image, err error) {
	i := &Image{From: fmt.Sprintf("from slot %s of %s", b.Boot.Slot, b.Boot.Disk.Device)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w: reading the running slot: %w", ErrImage, err), i.Close())
		}
	}()
	root, err := i.openPart(b, b.Boot.Slot.Root())
	if err != nil {
		return nil, err
	}
	i.Root = root
	boot, err := i.openPart(b, b.Boot.Slot.Boot())
	if err != nil {
		return nil, err
	}
	part, _ := b.Boot.Partition(b.Boot.Slot.Boot())
	files, err := fat32.Open(boot, part.Size)
	if err != nil {
		return nil, err
	}
	if i.Slot, err = b.slot(files.ReadFile); err != nil {
		return nil, err
	}
	if i.Slot.Bootloader, err = i.bootLoaderOf(b); err != nil {
		return nil, err
	}
	oem, err := i.openPart(b, layout.PartOEM)
	if err != nil {
		return nil, err
	}
	i.Time, err = madeAt(oem)
	return i, err
}

// madeAt reads when an ext4 file system was made: s_mkfs_time, seconds since 1970 at byte
// 0x108 of the superblock, which begins at 1024 (Documentation/filesystems/ext4/super.rst).
// Our builder gives it the time of the image.
func madeAt(r io.ReaderAt) (time.Time, error) {
	b := make([]byte, 4)
	if _, err := r.ReadAt(b, 1024+0x108); err != nil {
		return time.Time{}, err
	}
	return time.Unix(int64(binary.LittleEndian.Uint32(b)), 0), nil
}

func (i *Image) openPart(b Booted, name string) (*os.File, error) {
	device, err := b.Boot.Device(name)
	if err != nil {
		return nil, err
	}
	return i.open(b, device)
}

func (i *Image) open(b Booted, device string) (*os.File, error) {
	f, err := os.Open(filepath.Join("/", b.Dir, device))
	if err == nil {
		i.close = append(i.close, f)
	}
	return f, err
}

// bootLoaderOf reads the boot loader of the disk that was booted.
func (i *Image) bootLoaderOf(b Booted) (map[string][]byte, error) {
	whole, err := i.open(b, b.Boot.Disk.Device)
	if err != nil {
		return nil, err
	}
	table, err := gpt.Read(whole, b.Boot.Disk.Size)
	if err != nil {
		return nil, err
	}
	esp, err := i.openPart(b, layout.PartEFI)
	if err != nil {
		return nil, err
	}
	return b.Loader(whole, table, esp)
}

// slot reads the files of a boot partition. The label must be that of the running image.
func (b Booted) slot(read func(name string) ([]byte, error)) (*slotimage.Image, error) {
	tree, err := b.tree()
	if err != nil {
		return nil, err
	}
	kernel, err1 := read(layout.BootKernel)
	initrd, err2 := read(layout.BootInitrd)
	text, err3 := read(layout.BootLabel)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	label := slotimage.DecodeLabel(text)
	if label.RootHash != b.Boot.RootHash {
		return nil, fmt.Errorf("%s says root hash %s, and the image that runs has %s: these are files of another image", layout.BootLabel, label.RootHash, b.Boot.RootHash)
	}
	release := map[string]string{"KAIROS_VERSION": label.Version}
	for key, value := range b.Release {
		if key != "KAIROS_VERSION" || label.Version == "" {
			release[key] = value
		}
	}
	return &slotimage.Image{
		Tree: tree, Kernel: kernel, Initrd: initrd, Cmdline: b.Cmdline, Release: release,
		Reference: label.Image, Digest: label.Digest, Trust: label.Trust,
	}, nil
}

// readFolder reads the files below a folder of a medium. Names have slashes.
func readFolder(dir string) (map[string][]byte, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	root := os.DirFS(dir)
	files := map[string][]byte{}
	err := fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files[path.Clean(name)], err = regular.Read(filepath.Join(dir, name), maxLoaderFile)
		return err
	})
	return files, err
}
