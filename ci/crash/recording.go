// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// The files of a recording, in its folder.
const (
	BeforeName = "before.raw"     // the disk before the first write of the log
	LogName    = "writes.log"     // the writes, by QEMU's blklogwrites
	KnownName  = "known.raw"      // a disk whose slot b has the image that the upgrade installs
	StepsName  = "recording.json" // a Recording
)

// A Recording says what the machine did while its writes were logged.
type Recording struct {
	// Image is the digest of the image beside the recorded disk; empty: there was none.
	Image string `json:"image,omitempty"`
	// Firmware of the machine: bios or uefi.
	Firmware string `json:"firmware"`
	Steps    []Step `json:"steps"`
}

// A Step is one action of the machine.
type Step struct {
	Name string `json:"name"`
	// Running are the slots that ran at some time during the step.
	Running []layout.Slot `json:"running"`
	// Writes is the number of writes in the log at the end of the step.
	Writes  int     `json:"writes"`
	Seconds float64 `json:"seconds"`
}

// ReadRecording reads the Recording of a folder.
func ReadRecording(dir string) (Recording, error) {
	var r Recording
	b, err := os.ReadFile(filepath.Join(dir, StepsName))
	if err != nil {
		return r, fmt.Errorf("reading a recording: %w: make one with: go run ./ci/crash/record", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("reading %s of the recording in %s: %w", StepsName, dir, err)
	}
	return r, nil
}

// Write writes the Recording to its folder.
func (r Recording) Write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, StepsName), append(b, '\n'), 0o644)
}

// CountWrites returns the number of writes that a log has so far. The machine may still
// run.
func CountWrites(path string) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	entries, err := writelog.ReadAll(f, info.Size())
	for _, e := range entries {
		if e.Size > 0 {
			n++
		}
	}
	return n, err
}

// A Footprint counts the writes of a step by their targets.
type Footprint struct {
	Step   Step
	Writes int // all writes of the step, discards included
	// Active counts the writes to a partition of a running slot. There must be none.
	Active int
	// Slots counts the writes to a partition of any slot.
	Slots int
}

// Footprints counts every write of the log. Writes after the end of the last step
// belong to it too.
func (t *Timeline) Footprints(r Recording) ([]Footprint, error) {
	table, err := gpt.Read(t.View(State{}), t.Size)
	if err != nil {
		return nil, fmt.Errorf("reading the partition table of the recording's disk: %w", err)
	}
	var all []Footprint
	from := 0
	for i, s := range r.Steps {
		to := min(s.Writes, len(t.Writes))
		if i == len(r.Steps)-1 {
			to = len(t.Writes)
		}
		if from > to {
			return nil, fmt.Errorf("step %q ends with write %d, before it begins: the recording and the log do not belong together", s.Name, to)
		}
		f, err := footprint(table, s, t.Writes[from:to])
		if err != nil {
			return nil, err
		}
		all, from = append(all, f), to
	}
	return all, nil
}

func footprint(table *gpt.Table, s Step, writes []Write) (Footprint, error) {
	f := Footprint{Step: s, Writes: len(writes)}
	active, err := partitionsOf(table, s.Running)
	if err != nil {
		return f, err
	}
	slots, err := partitionsOf(table, layout.Slots())
	if err != nil {
		return f, err
	}
	for _, w := range writes {
		if slices.ContainsFunc(active, w.touches) {
			f.Active++
		}
		if slices.ContainsFunc(slots, w.touches) {
			f.Slots++
		}
	}
	return f, nil
}

// partitionsOf returns the boot and root partitions of slots.
func partitionsOf(table *gpt.Table, slots []layout.Slot) ([]gpt.Partition, error) {
	var list []gpt.Partition
	for _, s := range slots {
		for _, name := range []string{s.Boot(), s.Root()} {
			p, ok := table.Partition(name)
			if !ok {
				return nil, fmt.Errorf("partition %q: %w", name, errNoPartition)
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// touches tells whether a write changes a partition.
func (w Write) touches(p gpt.Partition) bool {
	return w.First <= p.Last && w.End > p.First
}

// An OpenedRecording is a recording that is open for reading.
type OpenedRecording struct {
	Recording
	Timeline *Timeline
	Known    Disk // the disk with the image that the upgrade installs
	files    []*os.File
}

// OpenRecording opens the recording in a folder.
func OpenRecording(dir string) (_ *OpenedRecording, err error) {
	o := &OpenedRecording{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	if o.Recording, err = ReadRecording(dir); err != nil {
		return nil, err
	}
	before, err := o.open(dir, BeforeName)
	if err != nil {
		return nil, err
	}
	log, err := o.open(dir, LogName)
	if err != nil {
		return nil, err
	}
	if o.Known, err = o.open(dir, KnownName); err != nil {
		return nil, err
	}
	if o.Timeline, err = NewTimeline(before, before.Size, log, log.Size); err != nil {
		return nil, fmt.Errorf("reading the log in %s: %w", dir, err)
	}
	return o, nil
}

func (o *OpenedRecording) open(dir, name string) (Disk, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return Disk{}, err
	}
	o.files = append(o.files, f)
	info, err := f.Stat()
	if err != nil {
		return Disk{}, err
	}
	return Disk{f, info.Size()}, nil
}

// Close closes the files.
func (o *OpenedRecording) Close() error {
	var err error
	for _, f := range o.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
