// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

const partEFI = layout.PartEFI

// A State is how far an update is; see the package comment.
type State string

// The states.
const (
	Current   State = "current"
	Outdated  State = "outdated"
	Staged    State = "staged"
	Trying    State = "trying"
	Running   State = "running"
	Failed    State = "failed"
	Promoting State = "promoting"
	Promoted  State = "promoted"
)

// An Update is the difference between a machine and an image.
type Update struct {
	State State
	// Changes names what is not installed yet, for a person: paths on the EFI
	// partition, or the BIOS programs.
	Changes []string
	// Trial says that programs for UEFI change; a trial can prove them.
	Trial bool
}

// A part is a piece of the boot loader that is replaced at once.
type part struct {
	name      string
	program   bool // for UEFI
	installed bool
	staged    bool
}

// Plan finds out what an update would change, and its state. It only reads.
func Plan(m Machine, f *Files) (Update, error) {
	parts, err := m.parts(f)
	if err != nil {
		return Update{}, fmt.Errorf("comparing the boot loader with the image's: %w", err)
	}
	u := Update{}
	for _, p := range parts {
		if !p.installed {
			u.Changes = append(u.Changes, p.name)
			u.Trial = u.Trial || p.program
		}
	}
	u.State, err = m.state(u, parts)
	return u, err
}

func (m Machine) state(u Update, parts []part) (State, error) {
	e, err := findEntry(m.Vars)
	if err != nil {
		return "", fmt.Errorf("reading the firmware's boot entries: %w", err)
	}
	if len(u.Changes) == 0 {
		left, err := m.leftovers()
		if err == nil && (e.exists || len(left) > 0) {
			return Promoted, nil
		}
		return Current, err
	}
	switch {
	case slices.ContainsFunc(parts, func(p part) bool { return !p.installed && !p.staged }):
		return Outdated, nil
	case !e.exists:
		return Staged, nil
	case e.proven:
		return Promoting, nil
	case e.next:
		return Trying, nil
	case e.current:
		return Running, nil
	}
	return Failed, nil
}

// parts compares every piece with the image and the staging.
func (m Machine) parts(f *Files) ([]part, error) {
	v, err := m.volume()
	if err != nil {
		return nil, err
	}
	if _, err := v.Extents(f.Env()); err != nil {
		return nil, fmt.Errorf("%w, or another distribution's: the image's GRUB has its environment in %s: %w; install the image anew", ErrForeign, f.Env(), err)
	}
	staged, err := allStaged(v, f)
	if err != nil {
		return nil, err
	}
	var list []part
	for _, p := range f.programs {
		one := part{name: p.installed, program: true, staged: staged}
		if one.installed, err = same(v, p.installed, p.data); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	if f.BIOS() {
		bios, err := m.biosPart(f)
		if err != nil {
			return nil, err
		}
		bios.staged = bios.staged && staged
		list = append(list, bios)
	}
	config := part{name: f.config().Path, staged: staged}
	config.installed, err = same(v, f.config().Path, f.config().Data)
	return append(list, config), err
}

// Stage writes the update beside the installed boot loader, reads it back, and arranges
// that only the next boot is a trial of it. If a trial is not possible, or could prove
// nothing, the update is only staged, and Result says why. The installed boot loader does
// not change.
func Stage(m Machine, f *Files) (Result, error) {
	u, err := Plan(m, f)
	if err != nil || len(u.Changes) == 0 {
		return Result{Update: u}, err
	}
	if err := m.stage(f); err != nil {
		return Result{}, fmt.Errorf("staging the boot loader: %w", err)
	}
	r := Result{Unproved: m.arm(f, u)}
	r.Update, err = Plan(m, f)
	if err == nil && r.State != Staged && r.State != Trying {
		err = fmt.Errorf("staging the boot loader: what was written does not read back (it is %s): the disk is failing", r.State)
	}
	return r, err
}

// A Result is what Stage did.
type Result struct {
	Update
	// Unproved says why the next boot is no trial; nil if it is one, or if there is
	// nothing to do. Promote accepts such an update with a Machine whose Vars are
	// nil.
	Unproved error
}

func (m Machine) stage(f *Files) error {
	if err := forget(m.Vars); err != nil {
		return err
	}
	for _, file := range f.staging() {
		if err := m.put(file); err != nil {
			return err
		}
	}
	if !f.BIOS() {
		return nil
	}
	if bios, err := m.biosPart(f); err != nil || bios.staged {
		return err
	}
	return m.stageBIOS(f)
}

// arm arranges the trial, or returns why there is none.
func (m Machine) arm(f *Files, u Update) error {
	switch {
	case !u.Trial:
		return errors.New("no program for UEFI changes, and the others cannot be proved by a boot before")
	case m.Vars == nil:
		return errors.New("the firmware has no variables that can be written, so there is no BootNext")
	}
	return m.writeTrial(f)
}

// Promote replaces the installed boot loader by the staged one, in the order of the
// package comment, and removes the staging. Call it when the running system, booted by
// the trial, is good. It can be called again after an interruption. If nothing differs, it
// only removes the staging. ErrNotStaged, ErrNotProved and ErrFailed say that the update
// is not ready; then nothing was changed.
func Promote(m Machine, f *Files) error {
	u, err := Plan(m, f)
	if err != nil {
		return err
	}
	if err := m.mayPromote(u); err != nil {
		return err
	}
	if err := m.promote(f, u); err != nil {
		return fmt.Errorf("replacing the boot loader: %w; the machine still boots: try again", err)
	}
	return Discard(m)
}

func (m Machine) mayPromote(u Update) error {
	switch {
	case u.State == Outdated:
		return fmt.Errorf("replacing %s: %w: stage it first", strings.Join(u.Changes, ", "), ErrNotStaged)
	case u.State == Trying, u.State == Staged && u.Trial && m.Vars != nil:
		return fmt.Errorf("replacing %s: %w: reboot, and wait for the health checks", strings.Join(u.Changes, ", "), ErrNotProved)
	case u.State == Failed:
		return fmt.Errorf("replacing %s: %w: the old one stays", strings.Join(u.Changes, ", "), ErrFailed)
	}
	return nil
}

func (m Machine) promote(f *Files, u Update) error {
	if len(u.Changes) == 0 {
		return nil
	}
	if u.State == Running {
		if err := m.markProven(f); err != nil {
			return err
		}
	}
	for _, p := range f.programs {
		if err := m.put(fat32.File{Path: p.installed, Data: p.data}); err != nil {
			return err
		}
	}
	if f.BIOS() {
		if bios, err := m.biosPart(f); err != nil {
			return err
		} else if !bios.installed {
			if err := m.flipMBR(f); err != nil {
				return err
			}
		}
	}
	if err := m.put(f.config()); err != nil {
		return err
	}
	return m.check(f)
}

// check reads back the installed boot loader.
func (m Machine) check(f *Files) error {
	parts, err := m.parts(f)
	for _, p := range parts {
		if !p.installed {
			err = errors.Join(err, fmt.Errorf("%s does not read back as it was written: the disk is failing", p.name))
		}
	}
	return err
}
