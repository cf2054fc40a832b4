// SPDX-License-Identifier: Apache-2.0

// Package netboot makes the files by which a machine boots an image from the network. It
// serves nothing: netserver does, and so does any other server for TFTP and HTTP.
//
// # The files
//
//	kernel            the image's kernel
//	initrd            the image's initrd, with our /init
//	live.cpio         an archive with the live tree below /live: see below
//	config.cpio       an archive with the cloud-configs; only if there are any
//	boot.ipxe         the script of iPXE; its names are relative to itself
//	grub/grub.cfg     the configuration of the network GRUB
//	bootx64.efi       the shim, which a UEFI firmware starts; for arm64 it is bootaa64.efi
//	grubx64.efi       the distribution's signed network GRUB, which the shim starts
//	mmx64.efi         the shim's program to enroll keys
//	netboot.json      the Manifest: sizes and digests of the others, and the kernel line
//
// The kernel unpacks initrd, live.cpio and config.cpio one after the other into one
// initramfs. So the root image comes with the initramfs, and /init needs no network.
//
// # The live tree
//
//	/live/kairos/root.img   the root image: EROFS and its dm-verity tree
//	/live/kairos/VMLINUZ, INITRD, SLOT.TXT   what the boot partition of a slot holds
//	/live/kairos/bootloader/…   the boot loader of a disk, for the installer
//	/live/config.yaml       a cloud-config; further ones are config_02.yaml and so on
//	/live/install.yaml      asks for an automatic installation; only on request
//
// # What is verified
//
// /init puts dm-verity over root.img: the kernel line names the root hash. Nothing here
// signs the kernel line, or the cloud-configs: docs/netboot.md says who verifies what.
package netboot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/cpio"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// Names of the files.
const (
	Kernel       = "kernel"
	Initrd       = "initrd"
	Live         = "live.cpio"
	Config       = "config.cpio"
	Script       = "boot.ipxe"
	GRUBConfig   = "grub/grub.cfg"
	ManifestName = "netboot.json"
)

// EFIArch is the name of an architecture (a GOARCH) in EFI file names.
func EFIArch(arch string) string {
	if arch == "arm64" {
		return "aa64"
	}
	return "x64"
}

// Shim is the name of the program that the UEFI of an architecture starts.
func Shim(arch string) string { return "boot" + EFIArch(arch) + ".efi" }

// GRUB is the name by which the shim asks for GRUB.
func GRUB(arch string) string { return "grub" + EFIArch(arch) + ".efi" }

// MokManager is the name by which the shim asks for its program to enroll keys.
func MokManager(arch string) string { return "mm" + EFIArch(arch) + ".efi" }

// Errors that callers tell apart.
var (
	// ErrImage: the image cannot be booted from the network. The text says why.
	ErrImage = errors.New("this image cannot be booted from the network")
	// ErrFolder: a folder does not hold what Write wrote.
	ErrFolder = errors.New("this is not a folder of kairos-build netboot")
)

// An Image is what is booted.
type Image struct {
	Slot   *slotimage.Image
	Root   io.ReaderAt // the root image: Slot.Tree.Size bytes
	Digest string      // of the OCI image
	Arch   string      // GOARCH
	// Programs for UEFI, signed by the distribution. GRUB may be nil: then UEFI machines
	// cannot boot it. So may MokManager.
	Shim, GRUB, MokManager []byte
}

// A File is one file, which is read where it lies.
type File struct {
	Path string // relative
	Size int64  // bytes
	Data io.ReaderAt
	// SHA256 in hex; empty where nobody has read the file yet.
	SHA256 string
}

// Facts are about the image.
type Facts struct {
	Digest       string `json:"digest,omitempty"`
	Version      string `json:"version,omitempty"`
	Architecture string `json:"architecture"` // GOARCH
	RootHash     string `json:"verity_root_hash"`
	// Cmdline is the kernel line, without what a boot loader adds.
	Cmdline string `json:"cmdline"`
}

// A Boot is all that one image needs to be booted from the network, without scripts.
type Boot struct {
	Facts
	Files []File
}

// New returns the boot of an image with cloud-configs, which may be empty. The errors are
// ErrImage and cpio.ErrTooLarge.
func New(i Image, configs []cpio.Entry) (*Boot, error) {
	args := i.Slot.KernelArgs() + " " + layout.ArgLive + "=" + layout.LiveInitramfs
	if err := checkLine(args); err != nil {
		return nil, err
	}
	live, err := cpio.New(liveTree(i))
	if err != nil {
		return nil, fmt.Errorf("%w: its root image: %w", ErrImage, err)
	}
	b := &Boot{
		Facts: Facts{
			Digest: i.Digest, Version: i.Slot.Release["KAIROS_VERSION"], Architecture: i.Arch,
			RootHash: fmt.Sprintf("%x", i.Slot.Tree.RootHash), Cmdline: args,
		},
		Files: []File{
			InMemory(Kernel, i.Slot.Kernel), InMemory(Initrd, i.Slot.Initrd), {Path: Live, Size: live.Size(), Data: live},
		},
	}
	b.addPrograms(i)
	return b, b.SetConfigs(configs)
}

// InMemory is a file with these contents.
func InMemory(path string, data []byte) File {
	return File{Path: path, Size: int64(len(data)), Data: bytes.NewReader(data)}
}

// addPrograms adds the programs for UEFI, if they are complete.
func (b *Boot) addPrograms(i Image) {
	if i.Shim == nil || i.GRUB == nil {
		return
	}
	b.Files = append(b.Files, InMemory(Shim(i.Arch), i.Shim), InMemory(GRUB(i.Arch), i.GRUB))
	if i.MokManager != nil {
		b.Files = append(b.Files, InMemory(MokManager(i.Arch), i.MokManager))
	}
}

// SetConfigs replaces the archive with the cloud-configs: see ConfigEntries.
func (b *Boot) SetConfigs(configs []cpio.Entry) error {
	if len(configs) == 0 {
		return nil
	}
	archive, err := cpio.New(configs)
	if err != nil {
		return err
	}
	f := File{Path: Config, Size: archive.Size(), Data: archive}
	for i := range b.Files {
		if b.Files[i].Path == Config {
			b.Files[i] = f
			return nil
		}
	}
	b.Files = append(b.Files, f)
	return nil
}

// File returns the file of a path.
func (b *Boot) File(path string) (File, bool) {
	for _, f := range b.Files {
		if f.Path == path {
			return f, true
		}
	}
	return File{}, false
}

// memoryMiB is how much memory a machine needs for a live.cpio of some bytes: the kernel
// unpacks it, and then removes the archive.
func memoryMiB(live int64) int { return int(2*live>>20) + 512 }

// memory is what a machine needs, in MiB.
func (b *Boot) memory() int {
	live, _ := b.File(Live) // every boot has it
	return memoryMiB(live.Size)
}

// UEFI tells whether the programs for UEFI are there.
func (b *Boot) UEFI() bool {
	_, ok := b.File(GRUB(b.Architecture))
	return ok
}

// Initrds lists the archives of the initramfs in their order.
func (b *Boot) Initrds() []string {
	list := []string{Initrd, Live}
	if _, ok := b.File(Config); ok {
		list = append(list, Config)
	}
	return list
}

// liveTree lists the files of the live tree, but no cloud-config. The installer needs the
// boot loader, which the root image does not have.
func liveTree(i Image) []cpio.Entry {
	label := i.Slot.Label()
	label.Digest = i.Digest
	list := []cpio.Entry{
		{Path: inTree(layout.LiveRoot), Mode: cpio.TypeRegular | 0o644, Size: i.Slot.Tree.Size, Data: i.Root},
		cpio.File(inTree(layout.LiveTree, layout.BootKernel), 0o644, i.Slot.Kernel),
		cpio.File(inTree(layout.LiveTree, layout.BootInitrd), 0o644, i.Slot.Initrd),
		cpio.File(inTree(layout.LiveTree, layout.BootLabel), 0o644, label.Encode()),
	}
	for name, data := range i.Slot.Bootloader {
		list = append(list, cpio.File(inTree(layout.LiveBootLoader, name), 0o644, data))
	}
	return list
}

// inTree is the path of a file of the live tree in an archive.
func inTree(parts ...string) string {
	return path.Join(append([]string{strings.TrimPrefix(layout.LiveInitramfsDir, "/")}, parts...)...)
}

// InstallConfig asks the installer to install without a person. The machine starts from
// its disk afterwards.
const InstallConfig = "#cloud-config\ninstall:\n  auto: true\n  device: auto\n  reboot: true\n"

// ConfigEntries puts cloud-configs into the live tree, in their order. They may hold
// secrets, so only root may read them. install adds InstallConfig.
func ConfigEntries(configs [][]byte, install bool) []cpio.Entry {
	var list []cpio.Entry
	for i, data := range configs {
		name := inTree(layout.LiveConfig)
		if i > 0 {
			name = inTree(fmt.Sprintf("config_%02d.yaml", i+1))
		}
		list = append(list, cpio.File(name, 0o600, data))
	}
	if install {
		list = append(list, cpio.File(inTree("install.yaml"), 0o600, []byte(InstallConfig)))
	}
	return list
}

// maxLine is the longest kernel line that every boot loader passes on whole, in bytes: an
// x86 kernel takes 2048 with a NUL, iPXE adds a word, and GRUB the name of the kernel.
const maxLine = 1900

// checkLine refuses kernel arguments that iPXE or GRUB would not pass on unchanged. A word
// that begins with # is a comment, and these separate commands of iPXE.
func checkLine(line string) error {
	if len(line) > maxLine {
		return fmt.Errorf("%w: its kernel line has %d bytes, and at most %d pass through iPXE; remove some from %s", ErrImage, len(line), maxLine, layout.ImageCmdline)
	}
	for word := range strings.FieldsSeq(line) {
		if word == "&&" || word == "||" || word == ";" || word[0] == '#' {
			return fmt.Errorf("%w: the kernel argument %q cannot pass through iPXE; remove it from %s", ErrImage, word, layout.ImageCmdline)
		}
	}
	return nil
}
