// SPDX-License-Identifier: Apache-2.0

// Package thisboot is the document at layout.StateFile: what the initramfs did and
// found at this boot. /init writes it once before it starts the system; the agent
// reads it. It holds facts only.
//
// The document is one JSON object. Readers ignore keys that they do not know,
// so a newer initramfs may add some; a key never changes its meaning.
package thisboot

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// Version is the value of Boot.Version that this package writes.
const Version = 1

// Boot is one boot, as the initramfs saw it.
type Boot struct {
	Version    int         `json:"version"`
	Slot       layout.Slot `json:"slot"` // empty in a live system
	Mode       layout.Mode `json:"mode"`
	RootHash   string      `json:"rootHash"`   // dm-verity root hash, 64 lower-case hex digits
	HashOffset int64       `json:"hashOffset"` // bytes: the root image's length, where the verity superblock is
	// Disk is what was booted: in a live system its medium. It is empty if the system came
	// over the network.
	Disk Disk `json:"disk"`
	// Partitions are those of Disk, in table order.
	Partitions []Partition `json:"partitions"`
	// Mounts are in the order in which they were made.
	Mounts []Mount `json:"mounts"`
	// ModulesLoaded counts the kernel modules that /init loaded.
	ModulesLoaded int `json:"modulesLoaded"`
	// Steps are in the order in which they ran.
	Steps []Step `json:"steps"`
	// FirstBoot is true when no machine-id was stored on the persistent
	// partition yet.
	FirstBoot bool `json:"firstBoot"`
	// MachineID is what /etc/machine-id holds: 32 lower-case hex digits.
	MachineID string `json:"machineID,omitempty"`
	// Watchdog is the driver that resets a machine that hangs, such as
	// "iTCO_wdt" or "Software Watchdog"; empty when there is none.
	Watchdog string `json:"watchdog,omitempty"`
	// Warnings are sentences for a person about what is wrong although the node
	// came up.
	Warnings []string `json:"warnings,omitempty"`
}

// Disk is the disk that the node was booted from.
type Disk struct {
	Device string `json:"device"`          // such as /dev/vda
	GUID   string `json:"guid"`            // GPT disk GUID, lower case
	Size   int64  `json:"size"`            // bytes
	Model  string `json:"model,omitempty"` // as the kernel reports it
}

// Partition is one partition of the disk.
type Partition struct {
	Number   int    `json:"number"`
	Name     string `json:"name"`     // GPT name, such as root-a
	Device   string `json:"device"`   // such as /dev/vda4
	PartUUID string `json:"partUUID"` // lower case
	Size     int64  `json:"size"`     // bytes
	// Opened is the decrypted device of an encrypted partition, such as /dev/dm-1, and
	// UnlockedWith what gave its key, in words. Both are empty if it is locked, or not
	// encrypted.
	Opened       string `json:"opened,omitempty"`
	UnlockedWith string `json:"unlockedWith,omitempty"`
}

// Contents is the device with the contents: of an encrypted partition that is unlocked, the
// decrypted one.
func (p Partition) Contents() string { return cmp.Or(p.Opened, p.Device) }

// MountKind says what a mount is for.
type MountKind string

// The kinds of mounts that /init makes.
const (
	MountRoot      MountKind = "root"      // EROFS or SquashFS over dm-verity, read-only
	MountEphemeral MountKind = "ephemeral" // overlay whose upper side is a tmpfs
	MountData      MountKind = "data"      // oem and persistent
	MountBind      MountKind = "bind"      // a persistent path, from its place below layout.StateDir
	MountFallback  MountKind = "fallback"  // a tmpfs in place of an unusable data partition
)

// Mount is one mount of the running system.
type Mount struct {
	Path     string    `json:"path"` // in the running system, such as /etc
	Kind     MountKind `json:"kind"`
	Source   string    `json:"source"` // device, or directory in the running system
	FS       string    `json:"fs,omitempty"`
	ReadOnly bool      `json:"readOnly,omitempty"`
}

// Step is one step of /init and how long it took.
type Step struct {
	Name         string  `json:"name"`
	Milliseconds float64 `json:"milliseconds"`
	// At is when the step ended, in milliseconds since the kernel started.
	At float64 `json:"at"`
}

// ErrNone is returned by Read when there is no document: the system was not
// started by our initramfs.
var ErrNone = errors.New("no boot state: this system was not started by the kairos initramfs")

// Partition returns the partition with the given GPT name.
func (s *Boot) Partition(name string) (Partition, bool) {
	for _, p := range s.Partitions {
		if p.Name == name {
			return p, true
		}
	}
	return Partition{}, false
}

// Device returns the device with the contents of the partition with the given GPT name, such
// as /dev/vda2; of an encrypted one that is unlocked, the decrypted device. A disk that lacks it was not made by kairos-build.
func (s *Boot) Device(name string) (string, error) {
	p, ok := s.Partition(name)
	if !ok && s.Mode == layout.ModeLive {
		return "", fmt.Errorf("this system runs from an installer medium, which has no partition %q: install it first", name)
	}
	if !ok {
		return "", fmt.Errorf("the disk %s that was booted has no partition %q: was it made by kairos-build?", s.Disk.Device, name)
	}
	return p.Contents(), nil
}

// Mount returns the mount at path.
func (s *Boot) Mount(path string) (Mount, bool) {
	for _, m := range s.Mounts {
		if m.Path == path {
			return m, true
		}
	}
	return Mount{}, false
}

// Decode reads a document.
func Decode(data []byte) (*Boot, error) {
	s := new(Boot)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("decoding the boot state: %w", err)
	}
	if s.Version < 1 {
		return nil, errors.New("decoding the boot state: it has no version")
	}
	return s, nil
}

// Encode returns the document, indented, with a final newline.
func (s *Boot) Encode() ([]byte, error) {
	out := *s
	out.Version = Version
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the boot state: %w", err)
	}
	return append(data, '\n'), nil
}

// Read reads the document at path, usually layout.StateFile. A missing file
// is ErrNone.
func Read(path string) (*Boot, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the boot state: %w", err)
	}
	return Decode(data)
}

// Write writes the document to path with mode 0644 and makes a missing directory. A
// reader sees the old document or the new one.
func (s *Boot) Write(path string) error {
	data, err := s.Encode()
	if err != nil {
		return err
	}
	if err := durable.WriteCache(path, data, 0o644); err != nil { // /run is in memory
		return fmt.Errorf("writing the boot state: %w", err)
	}
	return nil
}
