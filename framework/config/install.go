// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// Install says how a machine is installed (framework/install). A nil pointer, an empty text
// and a size of 0 mean the default.
type Install struct {
	Auto     *bool  // the installer starts by itself on a live system
	Device   string // auto, or the path of a disk
	Source   string // as for an upgrade; default: the image of the medium
	Reboot   *bool
	PowerOff *bool
	Force    *bool // whatever is on the disk may be erased
	NoFormat *bool // only the system is written: partitions and data stay
	Sizes    InstallSizes
	// Extra are more partitions, in the order of the disk.
	Extra []InstallPartition
	// Encrypted are labels of partitions.
	Encrypted  []string
	Encryption Encryption
}

// InstallSizes are the sizes of partitions in MiB; 0 means the default.
type InstallSizes struct {
	EFI, OEM int
	State    int // of the slots a and b together, with their boot partitions
	Recovery int // of the recovery slot, with its boot partition
}

// An InstallPartition is one more partition of the disk.
type InstallPartition struct {
	Origin     Position
	Name       string // GPT name; default Label
	Label      string // of the file system
	Size       int    // MiB
	FileSystem string // ext4, vfat or none
}

// InstallPath begins the paths of problems with the key install.
const InstallPath = "install"

// Unfit returns the problems for which an installer must not begin: errors, and keys below
// install that it would have to ignore.
func Unfit(p Problems) Problems {
	return slices.DeleteFunc(slices.Clone(p), func(one Problem) bool {
		below := one.Path == InstallPath || strings.HasPrefix(one.Path, InstallPath+".") || strings.HasPrefix(one.Path, InstallPath+"[")
		return one.Severity != Error && (one.Severity != NotImplemented || !below)
	})
}

var installFields = []field[Install]{
	keepPointer("auto", "Whether the installer starts by itself on a live system.", aBool, func(i *Install) **bool { return &i.Auto }),
	keep("device", "The disk: auto, or a path such as /dev/sda or one below /dev/disk/by-id.", aTarget, func(i *Install) *string { return &i.Device }),
	keep("target", "An older name of device.", aTarget, func(i *Install) *string { return &i.Device }),
	keepPointer("reboot", "Whether the machine restarts afterwards.", aBool, func(i *Install) **bool { return &i.Reboot }),
	keepPointer("poweroff", "Whether the machine is switched off afterwards.", aBool, func(i *Install) **bool { return &i.PowerOff }),
	keepPointer("force", "Whether the disk may be erased, whatever is on it.", aBool, func(i *Install) **bool { return &i.Force }),
	keep("source", "The image to install, as for an upgrade; by default the one that runs.", aSource, func(i *Install) *string { return &i.Source }),
	keep("image", "An older name of source.", aSource, func(i *Install) *string { return &i.Source }),
	{name: "partitions", about: "Sizes of partitions in MiB.", shape: mapping(installPartitions), decode: func(v value, i *Install) { decodeMap(v, installPartitions, &i.Sizes) }},
	{name: "extra-partitions", about: "More partitions.", shape: listOf(mapping(extraPartitionFields)).joined(replaced), decode: decodeExtra},
	keepPointer("no-format", "Whether partitions and data of an installed disk stay, and only the system is written.", aBool, func(i *Install) **bool { return &i.NoFormat }),
	idle[Install]("system", "The image of the system.", anImage),
	idle[Install]("recovery-system", "The image of the recovery system.", anImage),
	idle[Install]("passive", "The image of the other slot.", anImage),
	idle[Install]("bundles", "Bundles to install.", many("bundles", aBundle)),
	keep("encrypted_partitions", "Labels of the partitions that are encrypted: COS_PERSISTENT, COS_OEM, and those of extra-partitions.", replacing(many("labels", encryptable)), func(i *Install) *[]string { return &i.Encrypted }),
	{name: "encryption", about: "How they are encrypted.", shape: mapping(encryptionFields), decode: func(v value, i *Install) { decodeMap(v, encryptionFields, &i.Encryption) }},
	idle[Install]("grub_options", "Variables of the boot loader.", stringMap),
	noted[Install]("bind_mounts", "More paths that are kept across boots.", instead(many("paths", aPath), "write it such as mounts: [[/usr/local/docker, /var/lib/docker, none, bind]]: docs/data.md")),
	noted[Install]("ephemeral_mounts", "More paths that are writable and new at each boot.", instead(many("paths", aPath), "write it such as mounts: [[tmpfs, /work, tmpfs]]: docs/data.md")),
	noted[Install]("extra-dirs-rootfs", "Directories that are made in the root.", instead(many("paths", aPath), "build the image with --mount-point and the directory: docs/data.md")),
	idle[Install]("ssh_hardening", "Whether SSH takes only strong methods.", aBool),
	noted[Install]("nousers", "Whether a config without users is accepted. It always is.", aBool),
	idle[Install]("grub-entry-name", "The name in the boot menu.", aGiven),
	idle[Install]("env", "Variables of the installed system. The key env at the top has them.", aVariables),
	idle[Install]("extensions", "Extensions to install.", anything),
	idle[Install]("eject-cd", "Whether the medium is ejected.", aBool),
	idle[Install]("cloud-init", "More config files, by path or URL.", many("files", aGiven)),
	noted[Install]("firmware", "The firmware that is installed for. A disk starts under both.", oneOf("efi", "bios")),
	noted[Install]("part-table", "The kind of partition table.", gptOnly),
	idle[Install]("iso", "The medium to install from.", aGiven),
	idle[Install]("tty", "The console of the installed system.", aGiven),
}

// aTarget is a disk. A program that names it is understood, and not run.
var aTarget = kind[string]{aDevice.shape, func(v value) (string, bool) {
	s, ok := aDevice.get(v)
	if ok && strings.HasPrefix(s, ScriptDevice) {
		v.Report(NotImplemented, "understood, and not implemented yet in this version: a program that names the disk", "name it by its path below /dev/disk/by-id, or write auto")
		return "", false
	}
	return s, ok
}}

// gptOnly is a kind of partition table.
var gptOnly = kind[string]{wordsOf("gpt", "msdos"), func(v value) (string, bool) {
	s, ok := oneOf("gpt", "msdos").get(v)
	if ok && s == "msdos" {
		v.Report(NotImplemented, "understood, and not implemented in this version: a disk has a GUID partition table, which BIOS starts too", "remove it")
	}
	return s, ok
}}

var installPartitions = []field[InstallSizes]{
	sized("oem", "The partition of the configs.", "ext4", func(s *InstallSizes) *int { return &s.OEM }),
	sized("recovery", "The recovery slot, with its boot partition.", "ext4", func(s *InstallSizes) *int { return &s.Recovery }),
	sized("state", "The slots a and b together, with their boot partitions.", "ext4", func(s *InstallSizes) *int { return &s.State }),
	sized("efi", "The partition of the boot loader for UEFI.", "vfat", func(s *InstallSizes) *int { return &s.EFI }),
	{name: "persistent", about: "The partition of the data. It has the rest of the disk.", shape: mapping(rest), decode: func(v value, _ *InstallSizes) { decodeMap(v, rest, new(int)) }},
	idle[InstallSizes]("bios", "The partition of the boot loader for BIOS.", object(partitionFields)),
}

// sized is a partition whose size can be chosen. Its file system is given.
func sized(name, about, fs string, at func(*InstallSizes) *int) field[InstallSizes] {
	table := partitionKeys(fs, keep("size", "The size in MiB.", aSize, func(n *int) *int { return n }))
	return field[InstallSizes]{name: name, about: about, shape: mapping(table), decode: func(v value, s *InstallSizes) { decodeMap(v, table, at(s)) }}
}

var rest = partitionKeys("ext4", field[int]{name: "size", about: "0: the rest of the disk.", shape: between(0, 1<<30), decode: func(v value, _ *int) {
	if n, ok := sizeOf(v); ok && n != 0 {
		v.Report(NotImplemented, "understood, and not implemented in this version: the partition has the rest of the disk", "remove it, or write 0")
	}
}})

func partitionKeys(fs string, size field[int]) []field[int] {
	return []field[int]{
		size,
		{name: "fs", about: "The file system; it is " + fs + ".", shape: wordsOf(fs), decode: func(v value, _ *int) { oneOf(fs).get(v) }},
		idle[int]("name", "The name of the partition.", aGiven),
		idle[int]("label", "The label of its file system.", aGiven),
		idle[int]("flags", "Flags of the partition.", many("flags", aGiven)),
		idle[int]("mountpoint", "Where it is mounted.", aPath),
	}
}

var extraPartitionFields = []field[InstallPartition]{
	{name: "name", about: "The name of the partition.", shape: matching(partitionName.String()), decode: func(v value, p *InstallPartition) { set(v, &p.Name, value.partitionName) }},
	{name: "label", about: "The label of its file system.", shape: matching(fsLabel.String()), decode: func(v value, p *InstallPartition) { set(v, &p.Label, value.fsLabel) }},
	keep("size", "The size in MiB.", aSize, func(p *InstallPartition) *int { return &p.Size }),
	keep("fs", "The file system: ext4, the default, vfat or none.", oneOf("ext4", "vfat", "none"), func(p *InstallPartition) *string { return &p.FileSystem }),
	idle[InstallPartition]("flags", "Flags of the partition.", many("flags", aGiven)),
	idle[InstallPartition]("mountpoint", "Where it is mounted. The key mounts has that.", aPath),
}

func decodeInstall(v value, c *Config) {
	v.d.remember(InstallPath+".", decodeMap(v, installFields, &c.Install))
}

func decodeExtra(v value, i *Install) {
	i.Extra = nil
	for _, item := range v.list("partitions") {
		p := InstallPartition{Origin: item.Position()}
		decodeMap(item, extraPartitionFields, &p)
		p.Name, p.FileSystem = orDefault(p.Name, p.Label), orDefault(p.FileSystem, "ext4")
		if item.extra(p, i.Extra) {
			i.Extra = append(i.Extra, p)
		}
	}
}

// extra checks one more partition.
func (v value) extra(p InstallPartition, before []InstallPartition) bool {
	same := func(o layout.Partition) bool { return o.Name == p.Name || p.Label != "" && o.Label == p.Label }
	switch {
	case p.Name == "":
		v.Fail("the partition has no name", `add "name:" or "label:"`)
	case p.Size == 0:
		v.Fail("the partition has no size; the rest of the disk is for the persistent data", `add "size:", in MiB`)
	case p.FileSystem == "vfat" && len(p.Label) > 11:
		v.Fail(fmt.Sprintf("the label %q is too long for vfat", strict.Printable(p.Label)), "use at most 11 characters")
	case slices.ContainsFunc(layout.Table(layout.Sizes{}), same):
		v.Fail(fmt.Sprintf("the node has a partition with the name %q or the label %q already", strict.Printable(p.Name), strict.Printable(p.Label)), "choose other names")
	case slices.ContainsFunc(before, func(o InstallPartition) bool { return o.Name == p.Name }):
		v.Fail(fmt.Sprintf("the partition %q is listed twice", strict.Printable(p.Name)), "remove one of them")
	default:
		return true
	}
	return false
}

// join takes over what a later config says.
func (i *Install) join(later Install) {
	wins(&i.Auto, later.Auto)
	wins(&i.Device, later.Device)
	wins(&i.Source, later.Source)
	wins(&i.Reboot, later.Reboot)
	wins(&i.PowerOff, later.PowerOff)
	wins(&i.Force, later.Force)
	wins(&i.NoFormat, later.NoFormat)
	wins(&i.Sizes.EFI, later.Sizes.EFI)
	wins(&i.Sizes.OEM, later.Sizes.OEM)
	wins(&i.Sizes.State, later.Sizes.State)
	wins(&i.Sizes.Recovery, later.Sizes.Recovery)
	if later.Extra != nil {
		i.Extra = later.Extra
	}
	if later.Encrypted != nil {
		i.Encrypted = later.Encrypted
	}
	wins(&i.Encryption.Key, later.Encryption.Key)
	wins(&i.Encryption.Passphrase, later.Encryption.Passphrase)
}

// Asks tells whether the key auto starts the installer.
func (i Install) Asks() bool { return i.Auto != nil && *i.Auto }
