// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/grubenv"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// An environment is GRUB's environment block, and the state that it holds.
type environment struct {
	block []byte
	state slot.State
}

// isEnvironment finds the block among the files of the EFI partition.
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

// decode accepts what GRUB and the agent understand alike.
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

// write gives the blocks that can be there when the power goes while GRUB
// writes the state: it writes the two sectors of the block, so one of them may
// be new and the other old.
func (e environment) write(s slot.State) [][]byte {
	const half = SectorSize
	next := edit(e.block, s.Vars())
	return [][]byte{
		next,
		append(bytes.Clone(next[:half]), e.block[half:]...),
		append(bytes.Clone(e.block[:half]), next[half:]...),
	}
}

// stateNames are the variables of a state; a block may have others.
func stateNames() []string {
	return []string{"good", "try", "tries", "bad", "badrec", "next", "unproven"}
}

// edit sets the variables of a state as GRUB does: a variable keeps its place,
// what follows moves, and a new one comes last. What does not fit is cut off.
func edit(block []byte, vars map[string]string) []byte {
	left := maps.Clone(vars)
	var b bytes.Buffer
	for line := range strings.Lines(strings.TrimRight(string(block), "#")) {
		name, _, _ := strings.Cut(line, "=")
		if slices.Contains(stateNames(), name) {
			line = name + "=" + left[name] + "\n"
			delete(left, name)
		}
		b.WriteString(line)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(&b, "%s=%s\n", name, left[name])
	}
	b.Write(bytes.Repeat([]byte{'#'}, max(0, grubenv.Size-b.Len())))
	return b.Bytes()[:grubenv.Size]
}

// maxBoots is more than the boot loader needs to give every slot its turn: the
// tries of a trial, the boots of the good slot, one of each slot in its place.
const maxBoots = slot.MaxTries + slot.MaxUnproven + 3

// checkBoots lets the boot loader start the disk again and again, with nobody
// who marks anything good or says that it is up, and cuts the power in each of
// its writes. Starts says why a slot does not start, or nil.
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
			e = environment{edit(e.block, next.Vars()), next}
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

// reachesSystem: GRUB goes on to the fallbacks when a slot does not load.
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

// checkCut: after a cut while next is written there is the old state or next.
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
