// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// An environment is GRUB's environment block and the state in it.
type environment struct {
	block []byte
	state slot.State
}

// isEnvironment tells whether a file of the EFI partition is the environment block.
func isEnvironment(path string) bool {
	return strings.HasPrefix(path, "EFI/") && strings.HasSuffix(path, "/"+strings.ToUpper(bootconf.GRUBEnv))
}

func readEnvironment(f *fat, files map[string]fatFile) (environment, error) {
	var paths []string
	for path := range files {
		if isEnvironment(path) {
			paths = append(paths, path)
		}
	}
	if len(paths) != 1 {
		slices.Sort(paths)
		return environment{}, fmt.Errorf("the EFI partition has %d environment blocks %q, want 1", len(paths), paths)
	}
	var b bytes.Buffer
	if err := f.copy(&b, files[paths[0]]); err != nil {
		return environment{}, fmt.Errorf("reading %s: %w", paths[0], err)
	}
	state, err := decode(b.Bytes())
	return environment{b.Bytes(), state}, err
}

// decode accepts only blocks that GRUB and the agent read the same way.
func decode(block []byte) (slot.State, error) {
	vars, err := grubenv.Decode(block)
	if err != nil {
		return slot.State{}, err
	}
	s, err := slot.ParseVars(vars)
	if err != nil {
		return s, err
	}
	return s, s.Check()
}

// write returns the blocks that a power cut can leave while GRUB writes the state. GRUB
// writes the two sectors of the block, so one may be new and the other old.
func (e environment) write(s slot.State) [][]byte {
	const half = SectorSize
	next := edit(e.block, s)
	return [][]byte{
		next,
		append(bytes.Clone(next[:half]), e.block[half:]...),
		append(bytes.Clone(e.block[:half]), next[half:]...),
	}
}

// edit sets the variables of a state as GRUB does.
func edit(block []byte, s slot.State) []byte { return grubenv.Edit(block, slot.VarNames(), s.Vars()) }

// maxBoots is enough for the boot loader to give every slot its turn: the tries of a
// trial, the boots of the good slot, one boot of each slot that replaces it.
const maxBoots = slot.MaxTries + slot.MaxUnproven + 3

// checkBoots lets the boot loader start the disk again and again, while no slot is
// marked good or reported up, and cuts the power in each of its writes. starts returns
// why a slot does not start, or nil.
func (e environment) checkBoots(starts func(layout.Slot) error) error {
	good := 0
	for boot := range maxBoots {
		choice, next := e.state.Boot()
		if err := reachesSystem(next, choice.Slot, starts); err != nil {
			return fmt.Errorf("boot %d: %w", boot+1, err)
		}
		if next != e.state {
			if err := e.checkCut(next); err != nil {
				return fmt.Errorf("a cut in boot %d, of slot %s: %w", boot+1, choice.Slot, err)
			}
			e = environment{edit(e.block, next), next}
		}
		if choice.Slot == e.state.Good {
			good++
		}
	}
	if good == 0 {
		return fmt.Errorf("slot %s is good, and not booted once in %d boots", e.state.Good, maxBoots)
	}
	return nil
}

// longLife is how many boots checkLife plays: three times the number after which the
// boot loader gives up a good slot that does not come up.
const longLife = 3 * (slot.MaxUnproven + 2)

// checkLife plays a long life of the disk: GRUB boots it again and again, each system
// comes up, and the agent's code records that in the block. A trial or a requested boot
// may come first. After that the node must stay in its good slot, as active.
func (e environment) checkLife(starts func(layout.Slot) error) error {
	if starts(e.state.Good) != nil {
		return nil // checkBoots covers a good slot that does not start
	}
	for boot := range longLife {
		choice, counted := e.state.Boot()
		settled := slot.MaxTries + 1 // the tries of a trial, and one requested boot
		if want := (slot.Choice{Slot: e.state.Good, Mode: layout.ModeActive}); boot > settled && choice != want {
			return fmt.Errorf("boot %d of a healthy node: slot %s as %s, must stay in slot %s", boot+1, choice.Slot, choice.Mode, want.Slot)
		}
		plan := settle.Arrive(counted, settle.Boot{Slot: choice.Slot, Mode: choice.Mode}, nil)
		block, err := bootenv.Change(edit(e.block, counted), func(s slot.State) (slot.State, error) {
			return plan.Event.Apply(s, choice.Slot), nil
		})
		if errors.Is(err, grubenv.ErrTooLong) {
			return nil // foreign variables; the node reports it, checkCut checks the cuts
		}
		if err != nil {
			return fmt.Errorf("boot %d of a healthy node: %w", boot+1, err)
		}
		next, err := decode(block)
		if err != nil {
			return fmt.Errorf("boot %d of a healthy node: %w", boot+1, err)
		}
		e = environment{block, next}
	}
	return nil
}

// reachesSystem checks that the chosen slot or one of its fallbacks starts. GRUB tries
// the fallbacks when a slot does not load.
func reachesSystem(s slot.State, chosen layout.Slot, starts func(layout.Slot) error) error {
	errs := []error{starts(chosen)}
	if errs[0] == nil {
		return nil
	}
	for _, c := range s.Fallbacks(chosen) {
		err := starts(c.Slot)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("nothing starts: %w", errors.Join(errs...))
}

// checkCut checks that a cut while GRUB writes next leaves the old state or next.
func (e environment) checkCut(next slot.State) error {
	for _, block := range e.write(next) {
		got, err := decode(block)
		if err != nil {
			return fmt.Errorf("torn environment block: %w", err)
		}
		if got != next && got != e.state {
			return fmt.Errorf("torn environment block: it has the state %+v, which is neither the one of before, %+v, nor the one of after, %+v", got, e.state, next)
		}
	}
	return nil
}
