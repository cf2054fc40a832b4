// SPDX-License-Identifier: Apache-2.0

// Package flavors holds what is built: each flavor is one YAML file with a
// strict schema, embedded in the program. Package recipes holds how it is built.
package flavors

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// A Flavor describes one distribution release and what goes into its image.
type Flavor struct {
	// Name is the flavor's name, which is also its folder's: debian-13.
	Name string `yaml:"name" rule:"required,name"`
	// Title is the name people use: Debian 13 (trixie).
	Title string `yaml:"title" rule:"required"`
	// Family is the package manager's family: apt, dnf or zypper.
	Family string `yaml:"family" rule:"required,family"`
	// ID and Release are ID and VERSION_ID of the distribution's os-release.
	ID      string `yaml:"id" rule:"required,name"`
	Release string `yaml:"release" rule:"required"`
	// SupportEnd is the last day, as 2006-01-02, on which the distribution's publisher
	// mends faults; empty: the release has no end, or none is known.
	SupportEnd string `yaml:"support_end" rule:"date"`
	// Base is where the root file system comes from.
	Base Base `yaml:"base" rule:"required"`
	// Packages are installed into the root, Tools only where the image is made
	// (module index, boot loader). Neither lists implied packages. In the name of any
	// package {arch} stands for the architecture's name, see ArchName.
	Packages []string `yaml:"packages" rule:"package"`
	Tools    []string `yaml:"tools" rule:"package"`
	// MountPoints are directories of the root for mounts. A node cannot make
	// them itself.
	MountPoints []string `yaml:"mount_points" rule:"path"`
	// LSM is the security module that the distribution's services are confined by. The
	// kernel must have it. Empty: none is asked for.
	LSM string `yaml:"lsm" rule:"lsm"`
	// Models are the kinds of machine: generic (any server or VM), cloud.
	Models map[string]Model `yaml:"models" rule:"required"`
	// Boot is the boot loader for each architecture (a GOARCH).
	Boot map[string]Boot `yaml:"boot" rule:"required"`

	// Added and Default are those of a flavor that extends another.
	Added   Additions
	Default Defaults

	dir     string                     // of a user's own flavor; empty: built-in
	sources []Source                   // the files that it is made of
	places  map[string]strict.Position // of the names in its lists
}

// Place is where a name stands in a list of the flavor, such as site/flavor.yaml:9:7, or
// empty. list is a path of keys, such as models.generic.kernel.
func (f *Flavor) Place(list, name string) string {
	at, ok := f.places[list+" "+name]
	if !ok {
		return ""
	}
	return at.String()
}

// A Model is a kind of machine.
type Model struct {
	// Kernel lists kernel packages, meta packages included.
	Kernel []string `yaml:"kernel" rule:"required,package"`
	// Packages are installed besides the flavor's.
	Packages []string `yaml:"packages" rule:"package"`
	// Cmdline is the kernel command line of the image, after that of the architecture.
	Cmdline string `yaml:"cmdline" rule:"required"`
}

// Boot says what an architecture's machines have in common: their consoles, and where the
// distribution keeps their boot loader.
type Boot struct {
	// Cmdline begins the kernel command line: the consoles. The last that a machine has is
	// its /dev/console.
	Cmdline     string   `yaml:"cmdline"`
	Packages    []string `yaml:"packages" rule:"required,package"`
	Tools       []string `yaml:"tools" rule:"package"` // besides the flavor's
	Shim        string   `yaml:"shim" rule:"required,path"`
	MokManager  string   `yaml:"mok_manager" rule:"required,path"`
	Grub        string   `yaml:"grub" rule:"required,path"`
	GrubNet     string   `yaml:"grub_net" rule:"path"`  // for the network boot; empty: none
	GrubName    string   `yaml:"grub_name" rule:"name"` // file that shim starts; empty: grub and EFIArch, such as grubx64.efi
	GrubDir     string   `yaml:"grub_dir" rule:"required,folder"`
	GrubMkimage string   `yaml:"grub_mkimage" rule:"name"` // program; default: grub-mkimage
	BIOSModules string   `yaml:"bios_modules" rule:"path"` // empty: the architecture has no BIOS
	EFIArch     string   `yaml:"efi_arch" rule:"required,name"`
}

// Arches lists the architectures the flavor can be built for, sorted.
func (f *Flavor) Arches() []string {
	var arches []string
	for arch := range f.Boot {
		arches = append(arches, arch)
	}
	slices.Sort(arches)
	return arches
}

// ArchName is the name that the flavor's packages have for a GOARCH, such as x86_64 for amd64
// in families of rpm packages.
func (f *Flavor) ArchName(arch string) string {
	if f.Family == "apt" {
		return arch
	}
	return RPMArch(arch)
}

// ArchMark stands for ArchName in the names of packages, and for RPMArch in the addresses of
// repositories of rpm packages.
const ArchMark = "{arch}"

// RPMArch is rpm's name of a GOARCH.
func RPMArch(arch string) string {
	if name := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]; name != "" {
		return name
	}
	return arch
}

// Locks in these folders are not embedded: a build reads them from the current folder.
//
//go:embed */flavor.yaml */proven*.json keys
var embedded embed.FS

// Default is the built-in flavor that a user's own extends if nothing else is said: the
// newest one that was booted from its own archive.
const Default = "debian-13"

// ErrUnknown means that no flavor has the name that was asked for.
var ErrUnknown = errors.New("unknown flavor")

// Names lists the built-in flavors, sorted.
func Names() []string {
	files, err := fs.Glob(embedded, "*/flavor.yaml")
	if err != nil {
		panic("BUG: " + err.Error()) // the pattern is a constant
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = path.Dir(file)
	}
	return names
}

// Load returns the built-in flavor called name, validated. The error wraps
// ErrUnknown and suggests the nearest name when there is none.
func Load(name string) (*Flavor, error) {
	if !slices.Contains(Names(), name) {
		return nil, unknown(name, nearest.Word(name, Names()))
	}
	file := path.Join(name, "flavor.yaml")
	data, err := embedded.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse("flavors/"+file, data)
}

// Keyring returns the public keys that the flavor's archive is signed with.
func (f *Flavor) Keyring() ([]byte, error) {
	if data, err := f.ownKeyring(); data != nil || err != nil {
		return data, err
	}
	data, err := embedded.ReadFile(path.Join("keys", f.Base.Archive.Keyring))
	if err != nil {
		return nil, fmt.Errorf("flavor %s: reading its keyring: %w", f.Name, err)
	}
	return data, nil
}

// unknown is the error about a name. near is what the user may mean, or empty.
func unknown(name, near string) error {
	hint := ""
	if near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	return fmt.Errorf("%w %q%s (there are: %s)", ErrUnknown, name, hint, strings.Join(Names(), ", "))
}

// IsRelease tells whether an os-release with this VERSION_ID is of the flavor's release. A
// release of the family dnf has minor releases, such as 9.6 of 9, and one that rolls has a
// day in its place.
func (f *Flavor) IsRelease(version string) bool {
	switch f.Family {
	case "dnf":
		return version == f.Release || strings.HasPrefix(version, f.Release+".")
	case "zypper":
		return version == f.Release || f.Release == "tumbleweed"
	}
	return version == f.Release
}
