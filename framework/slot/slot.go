// SPDX-License-Identifier: Apache-2.0

// Package slot is the A/B state machine, as pure functions: which slot is
// good, which is on trial, which must not be booted, and what each event makes
// of that. It does no I/O; a Store keeps a State, and the boot loader acts on
// it (State.Boot is its side, and GRUB's script is held to it by tests).
//
// # Conditions of the slots a and b
//
//	good    proven, booted by default; exactly one slot at any time
//	trying  written whole and read back, has 0 to 3 boots left to prove itself
//	old     proven once, not the default any more; what rollback goes to
//	bad     failed its trial, or its writing has begun and has not ended
//
// # Events, and what they do to the slot that is not good
//
//	event      by              before          after
//	Write      upgrade         any             bad: it is not booted while it is half written
//	Arm        upgrade         bad             trying, with tries
//	Boot       boot loader     trying, tries   one try less, booted
//	           boot loader     trying, none    not booted: good is, as passive
//	           boot loader     any             good is booted and did not come up in 5 boots:
//	                                           old is booted, then recovery, then good again
//	CameUp     agent           any             the count of such boots begins again
//	MarkGood   health          trying          becomes good; the good one becomes old
//	GiveUp     agent           trying          bad
//	Rollback   rollback        old             trying: the way back is proven too
//	           rollback        trying          bad: the trial is given up
//	Select     bootentry       old             booted once, as passive
//	WriteRecovery, ArmRecovery                 the recovery slot is bad in between
//
// A node that runs from the old slot (the good one does not load or does not come
// up, or somebody chose the other in the menu) and is upgraded there writes the good one: then
// Write makes the slot that runs the good one first, which it is by running.
//
// # Three properties, tested over every sequence of events
//
// There is always one good slot, and nothing of it is written while it is good.
// No slot becomes good that was not proven: by MarkGood while it ran, or
// before. Of boots that nobody proves each slot that is fit for one gets some, so
// that a good slot whose medium rots is not the end of a node.
//
// Every event is one change of one State, so one write of one sector: after a
// cut of power there is the state before or the state after.
package slot

import "github.com/kairos-build/kairos-build/framework/layout"

// A Store keeps the State. GRUB's environment block is one (framework/grub/bootenv);
// the counters in the names of systemd-boot's entries can be another.
type Store interface {
	// Load returns the state by which the boot loader will act. A damaged
	// store gives that state and an error that says what is damaged.
	Load() (State, error)
	// Update loads the state, lets change make the next one, and saves that,
	// while no other program can. It returns the state that is on the medium
	// then, as it was read back; when change returns an error nothing is saved.
	// After a cut of power Load gives the old state or the new one.
	Update(change func(State) (State, error)) (State, error)
}

// A Choice is what the boot loader boots.
type Choice struct {
	Slot layout.Slot
	Mode layout.Mode
}
