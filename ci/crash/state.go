// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"math/rand/v2"
)

// A State is one disk that a power cut can leave.
type State struct {
	Number int
	// Epoch is the epoch of the power cut. The writes of all earlier epochs are on the
	// medium.
	Epoch int
	// Fates are the fates of the first writes of the epoch. The other writes had not
	// completed: nothing of them is there.
	Fates []Fate
}

// Boundaries counts the states that are flushes, with the beginning and the end. Their
// numbers start at 0.
func (t *Timeline) Boundaries() int { return t.EpochCount() + 1 }

// State returns a state by its number. The same timeline, seed and number always give
// the same state. A timeline without writes has only state 0.
func (t *Timeline) State(seed uint64, number int) State {
	if number < t.Boundaries() || len(t.Writes) == 0 {
		return State{Number: number, Epoch: min(number, t.EpochCount())}
	}
	return t.random(rand.New(rand.NewPCG(seed, uint64(number))), number)
}

// random chooses a state. For odd numbers every epoch is equally likely: short epochs,
// where the decisions are, get as many states as long ones. For even numbers every
// write is equally likely, so long epochs get their share. About every other cut comes
// at the end of its epoch: the last write there depends most on the earlier ones.
func (t *Timeline) random(r *rand.Rand, number int) State {
	s := State{Number: number, Epoch: r.IntN(t.EpochCount())}
	if number%2 == 0 {
		s.Epoch = t.epochOf(r.IntN(len(t.Writes)))
	}
	start, end := t.epoch(s.Epoch)
	completed := end - start
	if r.IntN(2) == 0 {
		completed = 1 + r.IntN(completed)
	}
	s.Fates = make([]Fate, completed)
	keep := []float64{1, 0.98, 0.75, 0.5, 0.1}[r.IntN(5)]
	tear := []float64{0, 0.05, 0.5}[r.IntN(3)]
	for i := range s.Fates {
		w, last := t.Writes[start+i], i == len(s.Fates)-1
		switch {
		case last:
			s.Fates[i] = w.fate(r, 0.5, 0.5)
		case w.FUA:
			s.Fates[i] = Fate{Kind: Whole}
		default:
			s.Fates[i] = w.fate(r, keep, tear)
		}
	}
	return s
}

// fate is Whole with probability keep, else torn with probability tear, else Absent. A
// write of one unit cannot be torn.
func (w Write) fate(r *rand.Rand, keep, tear float64) Fate {
	if r.Float64() < keep {
		return Fate{Kind: Whole}
	}
	f := Fate{Unit: 1, Kind: Prefix}
	if r.IntN(2) == 0 {
		f.Unit = 8
	}
	units := w.units(f.Unit)
	if units < 2 || r.Float64() >= tear {
		return Fate{}
	}
	f.Arg = 1 + r.Uint64N(uint64(units-1))
	if r.IntN(2) == 0 {
		f.Kind, f.Arg = Some, r.Uint64()
	}
	return f
}

// epochOf returns the epoch of a write.
func (t *Timeline) epochOf(write int) int {
	low, high := 0, t.EpochCount()-1
	for low < high {
		mid := (low + high + 1) / 2
		if t.Epochs[mid] <= write {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// String says when the power cut came and how the last writes ended.
func (s State) String() string {
	if len(s.Fates) == 0 {
		return fmt.Sprintf("state %d: after %d flushed epochs, nothing of the next", s.Number, s.Epoch)
	}
	var n [4]int
	for _, f := range s.Fates {
		n[f.Kind]++
	}
	return fmt.Sprintf("state %d: after %d flushed epochs, and of %d writes that followed %d whole, %d torn, %d lost",
		s.Number, s.Epoch, len(s.Fates), n[Whole], n[Prefix]+n[Some], n[Absent])
}
