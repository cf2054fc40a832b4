// SPDX-License-Identifier: Apache-2.0

// Package crash finds out what a cut of power leaves of a disk, at every moment
// of something that really happened to it: an upgrade, a rollback, a first boot.
// Its input is a disk as it was before and the log of all writes and flushes
// since (ci/crash/writelog, recorded by ci/qemu); from these it makes the disks
// that a cut could have left, and checks each of them in Go.
//
// It owns the model of the medium, the enumeration of states and the checks. It
// runs no machine, and writes to no disk but a copy (Materialise).
//
// # The model
//
// A flush makes every write durable that completed before it. The writes between
// two flushes are an epoch. A cut in epoch k leaves all writes of the earlier
// epochs, and of those of epoch k that completed before the cut any subset, each
// whole or torn: a prefix, or any subset, of its 512-byte sectors or of its
// 4 KiB pages. A write with FUA is whole, unless the cut came while it was
// written. A discard is a write of zeros.
//
// The order in which the medium takes the writes of an epoch needs no states of
// its own: what it decides is, for each sector, which of the writes to it came
// last, and the subsets of sectors contain all of that.
//
// # The states
//
// A State has a number. The first ones are the flushes in their order, each with
// nothing of its epoch, then the end. All others are random: a generator that is
// seeded with the seed and the number chooses epoch, moment, subset and tears.
// So a number and a seed name a state for ever, on every machine.
//
// # Why it is fast
//
// Nothing is copied: a View of a state is the base disk, the log, and one index
// of the log's writes by sector (index) which all states share. Reading looks
// up, for a sector, the writes to it from the last to the first, and takes the
// first that the state has.
//
// And little is read. What a check says about a partition depends on the
// partition's contents alone, and these on which writes to it are there. That
// set has a cheap name (View.Identity) which is found without reading a byte,
// and every check is remembered under it: the tree of a root image of hundreds of
// megabytes is verified once for each contents that has to be good, not once for
// each state. A slot that the environment calls bad does not have to be good, so
// the many states in the middle of its writing cost nothing.
//
// # What must hold
//
// See Checker.
package crash
