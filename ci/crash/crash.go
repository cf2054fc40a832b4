// SPDX-License-Identifier: Apache-2.0

// Package crash finds out what a power cut leaves of a disk, at every moment of a
// recorded event: an upgrade, a rollback, a first boot. Its input is the disk before
// the event and the log of all writes and flushes since (ci/crash/writelog, recorded
// by ci/qemu). From these it makes the disks that a cut could have left, and checks
// each of them in Go.
//
// It owns the model of the medium, the enumeration of states and the checks. It
// runs no machine, and writes to no disk but a copy (Materialise).
//
// # The model
//
// A flush makes every write durable that completed before it. The writes between
// two flushes are an epoch. A cut in epoch k leaves all writes of the earlier epochs,
// and any subset of the writes of epoch k that completed before the cut. Each of
// these is whole or torn: torn leaves a prefix, or any subset, of its 512-byte sectors
// or of its 4 KiB pages. A write with FUA is whole, unless the cut came while it was
// written. A discard is a write of zeros.
//
// The order in which the medium takes the writes of an epoch needs no states of its
// own. It only decides which write to a sector came last, and the subsets of sectors
// cover every such outcome.
//
// # The states
//
// A State has a number. The first states are the flushes in their order, each with no
// write of its epoch, then the end. All others are random: a generator seeded with the
// seed and the number chooses epoch, moment, subset and tears. So a number and a seed
// always name the same state, on every machine.
//
// # Why it is fast
//
// Nothing is copied: a View of a state is the base disk, the log, and one index
// of the log's writes by sector (index) which all states share. To read a sector, a
// View goes through the writes to it from the last to the first, and takes the first
// one that the state has.
//
// And little is read. The result of a check depends only on the partition's contents,
// and these depend only on the set of writes that are there. That set has a cheap name
// (View.Identity), found without reading a byte, and every result is remembered under
// it. The tree of a root image of hundreds of megabytes is verified once for each
// contents that must be good, not once for each state. A slot that the environment
// calls bad need not be good, so the many states in the middle of its writing cost
// nothing.
//
// # What must hold
//
// See Checker.
package crash
