// SPDX-License-Identifier: Apache-2.0

// Package status collects the status of a node: which slot runs, whether its root is
// verified, how the disk is laid out, and what the config reported. It only reads.
package status

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/persist"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/datasource"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// Schema is the value of Status.Schema. Readers ignore keys that they do not
// know, so keys may be added; a key never changes its meaning.
const Schema = 1

// Status is what `kairos-agent status --json` prints: one JSON object.
type Status struct {
	Schema   int    `json:"schema"`
	Slot     string `json:"slot"`    // a, b, recovery; empty when it is unknown, and in a live system
	Mode     string `json:"mode"`    // active, passive, recovery, live; empty when it is unknown
	Version  string `json:"version"` // KAIROS_VERSION
	Hostname string `json:"hostname"`
	// Interfaces are the network interfaces with an address; on a running node only.
	Interfaces []Interface `json:"interfaces,omitzero"`
	// Release is /etc/kairos-release: KAIROS_* keys.
	Release map[string]string `json:"release"`
	Root    Root              `json:"root"`
	// Slots are the slots of the boot disk: a, b, recovery. Next is what the boot
	// loader will start. Slots is empty and Next is missing if the boot environment
	// cannot be read, which needs root rights.
	Slots []SlotInfo `json:"slots"`
	Next  *Next      `json:"next,omitempty"`
	// Disk is the boot disk; Partitions are in table order.
	Disk       *thisboot.Disk `json:"disk,omitempty"`
	Partitions []Partition    `json:"partitions"`
	Mounts     []Mount        `json:"mounts"`
	Boot       *Boot          `json:"boot,omitempty"`
	// Persistent says how the persistent paths differ from the image.
	Persistent *persist.Report `json:"persistent,omitempty"`
	Config     *report.Report  `json:"config,omitempty"`
	// Datasource is what the datasource told this boot; missing if there is none.
	Datasource *datasource.Record `json:"datasource,omitempty"`
	// Stages is what the stages of this boot did; missing if none ran, or if the
	// report cannot be read, which needs root rights.
	Stages *stages.Report `json:"stages,omitempty"`
	// Kubernetes is the node's part in a cluster; missing if neither the image nor the
	// config has anything of it.
	Kubernetes *Kubernetes `json:"kubernetes,omitempty"`
	// Trust is which images the node trusts; missing if it has no policy and remembers none.
	Trust *Trust `json:"trust,omitempty"`
	// Channel is what the node follows by itself; missing if its config names none.
	Channel *Channel `json:"channel,omitempty"`
	Proof
	// Hidden names the parts that are missing because only root can read them:
	// slots, stages, verity, kubernetes.
	Hidden []string `json:"hidden,omitempty"`
	// Problems are sentences for a person. An empty list means that the node is as
	// it should be.
	Problems []string `json:"problems"`
}

// Root is the root file system.
type Root struct {
	Device   string `json:"device"` // as it is mounted, such as /dev/dm-0
	FS       string `json:"fs"`
	ReadOnly bool   `json:"readOnly"`
	Verity   Verity `json:"verity"`
}

// A VerityState is what the kernel says about the root's hash tree.
type VerityState string

// The states.
const (
	Verified  VerityState = "verified"  // every block that was read fits its hash
	Corrupted VerityState = "corrupted" // some block does not
	Unmapped  VerityState = "none"      // the root is not on a dm-verity device
	// Mapped: the root is on a dm-verity device, and the kernel was not asked,
	// because that needs root rights.
	Mapped VerityState = "mapped"
)

// Verity is the dm-verity device below the root.
type Verity struct {
	State    VerityState `json:"state"`
	Device   string      `json:"device,omitempty"`   // such as dm-0
	Name     string      `json:"name,omitempty"`     // the device-mapper name
	UUID     string      `json:"uuid,omitempty"`     // the device-mapper UUID
	RootHash string      `json:"rootHash,omitempty"` // 64 hex digits
}

// Partition is a partition of the disk.
type Partition struct {
	thisboot.Partition
	MountedAt string `json:"mountedAt,omitempty"` // the first of its mount points
}

// Mount is a mount of our layout.
type Mount struct {
	thisboot.Mount
	Present bool  `json:"present"`        // mounted now
	Size    int64 `json:"size,omitempty"` // bytes, of data partitions
	Free    int64 `json:"free,omitempty"` // bytes that users other than root may fill
}

// Boot is what the initramfs did.
type Boot struct {
	FirstBoot     bool            `json:"firstBoot"`
	ModulesLoaded int             `json:"modulesLoaded"`
	Steps         []thisboot.Step `json:"steps"`
}

// Collect reads the status of the system below root. A file that cannot be read is a
// problem in the status, not an error.
func Collect(root tree.Root) Status { return collect(root, true) }

// WithoutSlots is Collect without the slots and the next boot, which need reads from a
// disk. It is for the boot, which must not wait.
func WithoutSlots(root tree.Root) Status { return collect(root, false) }

func collect(root tree.Root, withSlots bool) Status {
	s := Status{
		Schema: Schema, Release: Release(root), Slots: []SlotInfo{}, Partitions: []Partition{}, Mounts: []Mount{}, Problems: []string{},
		Hostname: strings.TrimSpace(read(root, "/proc/sys/kernel/hostname")),
	}
	s.Version = s.Release["KAIROS_VERSION"]
	mounted := parseMountInfo(read(root, "/proc/self/mountinfo"))
	s.Root = rootOf(root, mounted)
	s.fromBoot(root, mounted, withSlots)
	s.fromPersistent(root)
	s.fromReset(root)
	s.fromConfig(root)
	s.fromDatasource(root)
	s.fromStages(root)
	s.proof(root)
	s.check()
	return s
}

func read(root tree.Root, path string) string {
	data, err := root.Read(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// Release reads /etc/kairos-release. A file that cannot be read counts as empty.
func Release(root tree.Root) map[string]string {
	data, err := root.Read(layout.ImageRelease)
	if err != nil {
		return map[string]string{}
	}
	values, _ := osrelease.Parse(data)
	return values
}

// fromBoot takes over what the initramfs wrote. Without it, slot and mode come
// from the kernel command line.
func (s *Status) fromBoot(root tree.Root, mounted []mountPoint, withSlots bool) {
	args := cmdline(read(root, "/proc/cmdline"))
	s.Slot, s.Mode = args[layout.ArgSlot], args[layout.ArgMode]
	s.Root.Verity.RootHash = args[layout.ArgRootHash]
	state, err := ThisBoot(root)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
		return
	}
	s.Slot, s.Mode = string(state.Slot), string(state.Mode)
	s.Root.Verity.RootHash = state.RootHash
	s.Disk = &state.Disk
	s.Boot = &Boot{FirstBoot: state.FirstBoot, ModulesLoaded: state.ModulesLoaded, Steps: state.Steps}
	s.Problems = append(s.Problems, state.Warnings...)
	s.layout(state, mounted)
	if withSlots && !s.Live() {
		s.slots(root, state)
	}
}

// Live tells whether this is a live system: it has no slots.
func (s Status) Live() bool { return s.Mode == string(layout.ModeLive) }

// medium names what a live system was started from.
func (s Status) medium() string {
	if s.Disk == nil || s.Disk.Device == "" {
		return "memory"
	}
	return strings.TrimSpace(s.Disk.Device + " " + s.Disk.Model)
}

func (s *Status) layout(state *thisboot.Boot, mounted []mountPoint) {
	for _, p := range state.Partitions {
		at := ""
		if m, ok := bySource(mounted, p.Contents()); ok {
			at = m.path
		}
		s.Partitions = append(s.Partitions, Partition{Partition: p, MountedAt: at})
	}
	for _, m := range state.Mounts {
		_, present := byPath(mounted, m.Path)
		s.Mounts = append(s.Mounts, Mount{Mount: m, Present: present})
	}
}

// cmdline splits a kernel command line. If a key is repeated, the last value wins.
func cmdline(text string) map[string]string {
	out := map[string]string{}
	for arg := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(arg, "=")
		out[key] = value
	}
	return out
}

func (s *Status) fromConfig(root tree.Root) {
	r, err := report.Read(root)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
		return
	}
	s.Config = r
	s.Problems = append(s.Problems, r.Lines()...)
}

func (s *Status) fromDatasource(root tree.Root) {
	r, err := datasource.Read(root)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	s.Datasource = r
}

func (s *Status) fromStages(root tree.Root) {
	r, err := stages.ReadReport(root)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Hidden = append(s.Hidden, "stages")
	case err != nil:
		s.Problems = append(s.Problems, err.Error())
	case len(r.Stages) > 0:
		s.Stages = r
		s.Problems = append(s.Problems, r.Lines()...)
	}
}

// check adds problems where the running system contradicts the layout.
func (s *Status) check() {
	if s.Boot == nil {
		return
	}
	if s.Root.Verity.State == Unmapped {
		s.Problems = append(s.Problems, "the root file system is not verified: it is not on a dm-verity device")
	}
	if !s.Root.ReadOnly {
		s.Problems = append(s.Problems, "the root file system is writable")
	}
	for _, m := range s.Mounts {
		if !m.Present {
			s.Problems = append(s.Problems, m.Path+" was mounted by the initramfs and is not mounted now")
		}
	}
}
