// SPDX-License-Identifier: Apache-2.0

// Package reset makes a node new from its recovery slot. The slots a and b get copies
// of recovery, the persistent partition gets a new file system, and the boot
// environment its first state. If asked for, the oem partition loses everything but
// the system's own files. A reset runs on a node that was booted from recovery, and
// never writes to the recovery slot.
//
// # The order, and what boots after a power cut
//
//	check    reads all of recovery, opens every partition         nothing was written
//	request  the next boot is recovery                            the node as it was
//	mark     MarkPath says that a reset has begun
//	unboot   the first sector of boot-a, then of boot-b is zero   a or b boots, whole; then recovery
//	state    a is good, b is bad, the next boot is recovery
//	roots    root-a and root-b are written, and read back         recovery: a and b do not load
//	boots    boot-a and boot-b but for their first sectors
//	oem      is cleared, if asked for
//	wipe     the next boot makes the persistent file system anew
//	heads    the first sector of boot-b, then of boot-a           recovery; then recovery, once, or a
//	state    a is good: the state of a new disk                   a
//	unmark   MarkPath goes
//
// The boot loader starts recovery when no other slot loads. So from unboot to heads
// every boot leads to recovery, however many there are. A slot loads again only when it
// is whole. If the mark exists, the reset must be run again, from the beginning.
package reset

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// ErrNotRecovery means that the node was not booted from recovery.
var ErrNotRecovery = errors.New("the node is not in recovery")

// Options say what is reset besides the slots and the persistent partition.
type Options struct {
	OEM bool // remove the files in /oem, except those of the system
}

// A Plan is a reset of one node. As far as its partitions tell, it can be done.
type Plan struct {
	// Tree is the root image of recovery, with its hash tree.
	Tree    verity.Tree
	Targets []Target
	OEM     bool
}

// A Target is a slot that becomes a copy of recovery.
type Target struct {
	Slot     layout.Slot
	Label    string // of its boot partition
	VolumeID uint32 // of its boot partition
}

// New plans the reset of the node whose boot state is s. On a node in recovery, the error
// names every partition that prevents it.
func New(s *thisboot.Boot, o Options) (Plan, error) {
	if s.Mode != layout.ModeRecovery || s.Slot != layout.SlotRecovery {
		return Plan{}, fmt.Errorf("%w (slot %s, mode %s): type `kairos-agent bootentry --select recovery`, reboot, and reset there", ErrNotRecovery, s.Slot, s.Mode)
	}
	hash, err := hex.DecodeString(s.RootHash)
	if err != nil || len(hash) != verity.HashSize {
		return Plan{}, fmt.Errorf("the root hash of this boot is %q: want %d hex digits", s.RootHash, 2*verity.HashSize)
	}
	tree, err := verity.NewTree(s.HashOffset, [verity.HashSize]byte(hash))
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Tree: tree, OEM: o.OEM}
	for _, slot := range []layout.Slot{layout.SlotA, layout.SlotB} {
		p.Targets = append(p.Targets, target(s, slot))
	}
	return p, p.check(s)
}

func target(s *thisboot.Boot, slot layout.Slot) Target {
	part, _ := s.Partition(slot.Boot())
	return Target{Slot: slot, Label: slot.BootFS(), VolumeID: crc32.ChecksumIEEE([]byte(part.PartUUID))}
}

// check finds partitions that are missing or too small, and an oem partition that is not
// mounted.
func (p Plan) check(s *thisboot.Boot) error {
	boot, _ := s.Partition(layout.SlotRecovery.Boot())
	need := map[string]int64{layout.SlotRecovery.Root(): p.Tree.Size, layout.SlotRecovery.Boot(): 1, layout.PartPersistent: 1}
	names := []string{layout.SlotRecovery.Root(), layout.SlotRecovery.Boot(), layout.PartPersistent}
	for _, t := range p.Targets {
		need[t.Slot.Root()], need[t.Slot.Boot()] = p.Tree.Size, boot.Size
		names = append(names, t.Slot.Root(), t.Slot.Boot())
	}
	var errs []error
	for _, name := range names {
		part, ok := s.Partition(name)
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("disk %s has no partition %s: install the node again", s.Disk.Device, name))
		case part.Size < need[name]:
			errs = append(errs, fmt.Errorf("partition %s (%s) has %d bytes, recovery needs %d there: install the node again", name, part.Device, part.Size, need[name]))
		}
	}
	if m, ok := s.Mount(layout.MountOEM); !ok || m.Kind != thisboot.MountData {
		errs = append(errs, fmt.Errorf("%s is not mounted from its partition, where a reset is noted: repair it with e2fsck, or install the node again", layout.MountOEM))
	}
	return errors.Join(errs...)
}

// Lines say what the reset does, for the person who must agree to it.
func (p Plan) Lines() []string {
	lines := []string{
		fmt.Sprintf("slots a and b become copies of recovery (root hash %x)", p.Tree.RootHash),
		fmt.Sprintf("everything on the partition %s is lost at the next boot: %s, /home, /root, /var/log, Kubernetes", layout.PartPersistent, layout.MountPersistent),
	}
	if p.OEM {
		lines = append(lines, fmt.Sprintf("every file in %s is lost, with the configuration of this node", layout.MountOEM))
	}
	return append(lines, "the next boot is slot a")
}
