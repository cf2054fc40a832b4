// SPDX-License-Identifier: Apache-2.0

package status

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// SlotInfo is one slot of the disk.
type SlotInfo struct {
	Slot layout.Slot `json:"slot"`
	// Condition is good, trying, old or bad (framework/slot); empty if the boot
	// environment could not be read.
	Condition slot.Condition `json:"condition,omitempty"`
	Booted    bool           `json:"booted"`
	Tries     int            `json:"tries"` // boots left to a slot that is trying
	// Version, Image and Digest come from the slot's label; empty if unknown. Image is
	// the reference by which the image was requested.
	Version string `json:"version,omitempty"`
	Image   string `json:"image,omitempty"`
	Digest  string `json:"digest,omitempty"`
	// Trust says why the node trusted the image when it wrote the slot, from the label;
	// slotimage.Unverified if nobody vouches for it; empty for a slot that the builder made.
	Trust string `json:"trust,omitempty"`
}

// verified tells whether somebody vouched for the slot's image when it was written.
func (i SlotInfo) verified() bool { return i.Trust != "" && i.Trust != slotimage.Unverified }

// NotVerified returns the slots with an image that nobody vouches for. It leaves out the
// old slot, once a verified image has proved itself in the other one.
func NotVerified(slots []SlotInfo) []SlotInfo {
	replaced := slices.ContainsFunc(slots, func(i SlotInfo) bool { return i.Condition == slot.Good && i.verified() })
	return slices.DeleteFunc(slices.Clone(slots), func(i SlotInfo) bool {
		old := i.Condition == slot.Old && !i.Booted && i.Slot != layout.SlotRecovery
		return i.Trust != slotimage.Unverified || old && replaced
	})
}

// Next is what the boot loader starts next.
type Next struct {
	Slot layout.Slot `json:"slot"`
	Mode layout.Mode `json:"mode"`
	// Sentence says it to a person, and what follows.
	Sentence string `json:"sentence"`
	// Unproven counts the default boots since a system last came up; 0 on a node
	// that is up, see slot.State.
	Unproven int `json:"unproven"`
}

// NextBoot predicts what the boot loader does with a state.
func NextBoot(s slot.State) Next {
	choice, after := s.Boot()
	n := Next{Slot: choice.Slot, Mode: choice.Mode, Unproven: s.Unproven}
	start := fmt.Sprintf("the next boot starts slot %s", choice.Slot)
	switch {
	case s.Next != "":
		later, _ := after.Boot()
		n.Sentence = fmt.Sprintf("the next boot starts %s once, and the one after it slot %s", once(choice), later.Slot)
	case choice.Slot == s.Try:
		n.Sentence = fmt.Sprintf("%s on trial: if it does not pass its health checks in %s, slot %s is booted again", start, boots(s.Tries), s.Good)
	case choice.Slot != s.Good:
		n.Sentence = fmt.Sprintf("%s (%s), because slot %s did not come up in %d boots", start, choice.Mode, s.Good, slot.MaxUnproven)
	case s.Try != "":
		n.Sentence = fmt.Sprintf("%s (%s), because slot %s used up its tries", start, choice.Mode, s.Try)
	default:
		n.Sentence = fmt.Sprintf("%s (%s)", start, choice.Mode)
	}
	return n
}

func once(c slot.Choice) string {
	if c.Slot == layout.SlotRecovery {
		return "recovery"
	}
	return fmt.Sprintf("slot %s (%s)", c.Slot, c.Mode)
}

func boots(n int) string {
	if n == 1 {
		return "1 boot"
	}
	return fmt.Sprintf("%d boots", n)
}

// ThisBoot reads what the initramfs found at this boot. If the system was not started
// by the kairos initramfs, the error is thisboot.ErrNone.
func ThisBoot(root tree.Root) (*thisboot.Boot, error) {
	data, err := root.Read(layout.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, thisboot.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the boot state: %w", err)
	}
	return thisboot.Decode(data)
}

// Environment opens the boot environment of the disk that was booted.
func Environment(root tree.Root, state *thisboot.Boot) (*bootenv.Store, error) {
	path, err := device(root, state, layout.PartEFI)
	if err != nil {
		return nil, err
	}
	return bootenv.Open(path)
}

func device(root tree.Root, state *thisboot.Boot, partition string) (string, error) {
	name, err := state.Device(partition)
	if err != nil {
		return "", err
	}
	return root.Fixed(name)
}

// Slots describes the slots of the disk that was booted. Their conditions and tries come
// from env.
func Slots(root tree.Root, state *thisboot.Boot, env slot.State) []SlotInfo {
	var list []SlotInfo
	for _, s := range layout.Slots() {
		info := SlotInfo{Slot: s, Condition: env.Condition(s), Booted: s == state.Slot}
		if s == env.Try {
			info.Tries = env.Tries
		}
		l := label(root, state, s)
		info.Version, info.Image, info.Digest, info.Trust = l.Version, l.Image, l.Digest, l.Trust
		list = append(list, info)
	}
	return list
}

// label reads the image label on a slot's boot partition. A label that cannot be read
// is empty: an upgrade may be writing the slot.
func label(root tree.Root, state *thisboot.Boot, s layout.Slot) slotimage.Label {
	path, err := device(root, state, s.Boot())
	if err != nil {
		return slotimage.Label{}
	}
	f, err := os.Open(path)
	if err != nil {
		return slotimage.Label{}
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return slotimage.Label{}
	}
	v, err := fat32.Open(f, size)
	if err != nil {
		return slotimage.Label{}
	}
	data, err := v.ReadFile(layout.BootLabel)
	if err != nil {
		return slotimage.Label{}
	}
	return slotimage.DecodeLabel(data)
}

// slots adds the slots and the next boot. Only root can read the disk; for other users
// the slots are hidden.
func (s *Status) slots(root tree.Root, state *thisboot.Boot) {
	if _, ours := state.Partition(layout.PartEFI); !ours {
		return // an installer medium
	}
	env, err := loadEnvironment(root, state)
	if errors.Is(err, os.ErrPermission) {
		s.Hidden = append(s.Hidden, "slots")
		return
	}
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	if env == (slot.State{}) {
		return
	}
	next := NextBoot(env)
	s.Slots, s.Next = Slots(root, state, env), &next
}

// loadEnvironment returns the state that the boot loader uses, if there is a boot
// environment at all. A state and an error may come together.
func loadEnvironment(root tree.Root, state *thisboot.Boot) (env slot.State, err error) {
	store, err := Environment(root, state)
	if err != nil {
		return slot.State{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Load()
}
