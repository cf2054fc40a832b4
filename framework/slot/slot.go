// SPDX-License-Identifier: Apache-2.0

// Package slot is the A/B state machine, as pure functions: which slot is good, which
// is on trial, which must not be booted, and how each event changes that. It does no
// I/O. A Store keeps a State, and the boot loader acts on it. State.Boot is the boot
// loader's part; tests check GRUB's script against it.
//
// # Conditions of the slots a and b
//
//	good    proven, booted by default; exactly one slot at any time
//	trying  written whole and read back, has 0 to 3 boots left to prove itself
//	old     proven once, no longer the default; rollback goes back to it
//	bad     failed its trial, or its writing has begun and not ended
//
// # Events, and what they do to the slot that is not good
//
//	event      by              before          after
//	Write      upgrade         any             bad: it must not boot while half written
//	Arm        upgrade         bad             trying, with tries
//	Boot       boot loader     trying, tries   one try less, booted
//	           boot loader     trying, none    not booted: good boots, as passive
//	           boot loader     any             if good did not come up in 5 boots:
//	                                           old boots, then recovery, then good again
//	CameUp     agent           any             the count of such boots restarts
//	MarkGood   health          trying          becomes good; the good one becomes old
//	GiveUp     agent           trying          bad
//	Rollback   rollback        old             trying: it must prove itself too
//	           rollback        trying          bad: the trial is given up
//	Select     bootentry       old             booted once, as passive
//	WriteRecovery, ArmRecovery                 the recovery slot is bad in between
//
// A node may run from the old slot: the good one does not load or does not come up, or
// a person chose the old one in the menu. An upgrade there writes the good slot. So Write
// first makes the running slot good; that it runs proves it.
//
// # Three properties, tested over every sequence of events
//
// There is always one good slot, and it is never written while it is good. No slot
// becomes good unless it is proven, by MarkGood while it runs, or earlier. If no boot is
// proven, each slot fit to boot gets some boots, so that a node survives a good slot
// whose medium rots.
//
// Every event is one change of one State, and so one write of one sector: after a power
// cut there is the state before or the state after.
package slot

import "github.com/kairos-build/kairos-build/framework/layout"

// A Store keeps the State. One is GRUB's environment block (framework/grub/bootenv);
// the counters in the names of systemd-boot's entries could be another.
type Store interface {
	// Load returns the state that the boot loader will use. A damaged store gives
	// that state and an error that says what is damaged.
	Load() (State, error)
	// Update loads the state, calls change for the next one, and saves that. Other
	// programs cannot save meanwhile. Update returns the new state as read back
	// from the medium. If change returns an error, nothing is saved. After a power
	// cut Load gives the old state or the new one.
	Update(change func(State) (State, error)) (State, error)
}

// A Choice is what the boot loader boots.
type Choice struct {
	Slot layout.Slot
	Mode layout.Mode
}
