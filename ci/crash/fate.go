// SPDX-License-Identifier: Apache-2.0

package crash

import "fmt"

// A Kind says how much of a write a power cut left on the medium.
type Kind uint8

// The kinds of fate.
const (
	Absent Kind = iota // no sector is on the medium
	Whole
	Prefix // its first pages or sectors are on the medium
	Some   // some of its pages or sectors are on the medium
)

// A Fate says which sectors of one write are on the medium.
type Fate struct {
	Kind Kind
	// Unit is the size of the torn pieces in sectors: 1, or 8 for the 4 KiB pages of
	// the disk.
	Unit int64
	// Arg is the number of units of a Prefix. For Some it is the seed that chooses
	// the units.
	Arg uint64
}

// has tells whether a sector of a write is on the medium. The same holds for all
// sectors before until.
func (f Fate) has(w Write, sector int64) (has bool, until int64) {
	switch f.Kind {
	case Absent:
		return false, w.End
	case Whole:
		return true, w.End
	}
	unit := sector / f.Unit
	until = min((unit+1)*f.Unit, w.End)
	if f.Kind == Prefix {
		return uint64(unit-w.First/f.Unit) < f.Arg, until
	}
	return mix(f.Arg+uint64(unit))&1 == 1, until
}

// units counts the units that a write touches.
func (w Write) units(unit int64) int64 { return (w.End-1)/unit - w.First/unit + 1 }

// mix is the output function of SplitMix64: each bit of the result depends on
// every bit of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (f Fate) String() string {
	switch f.Kind {
	case Absent:
		return "lost"
	case Whole:
		return "whole"
	case Prefix:
		return fmt.Sprintf("torn: the first %d units of %d bytes", f.Arg, f.Unit*SectorSize)
	}
	return fmt.Sprintf("torn: some units of %d bytes", f.Unit*SectorSize)
}
