// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// A thisBoot is the running system of a node and the boot loader's state.
type thisBoot struct {
	*Node
	boot   settle.Boot
	booted *thisboot.Boot // as /init left it
	// state is the boot loader's state. If it is unknown, the running slot counts
	// as good, so that nothing follows.
	state slot.State
}

// thisBoot reads the state of this boot. A non-nil boot with an error means that
// the boot environment could not be read or is damaged.
func (n *Node) thisBoot() (*thisBoot, error) {
	data, err := n.Root.Read(layout.StateFile)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", thisboot.ErrNone, err)
	}
	booted, err := thisboot.Decode(data)
	if err != nil {
		return nil, err
	}
	b := &thisBoot{
		Node:   n,
		boot:   settle.Boot{Slot: booted.Slot, Mode: booted.Mode, Version: status.Release(n.Root)["KAIROS_VERSION"], Ready: sinceKernelStart()},
		booted: booted,
		state:  slot.State{Good: booted.Slot},
	}
	state, known, err := n.loadState(booted)
	if known {
		b.state = state
		b.boot.Tried = n.versionOf(booted, state, state.Try)
	}
	return b, err
}

// versionOf returns the version on a slot's label, or "" if it is unknown.
func (n *Node) versionOf(booted *thisboot.Boot, env slot.State, x layout.Slot) string {
	for _, info := range status.Slots(n.Root, booted, env) {
		if info.Slot == x {
			return info.Version
		}
	}
	return ""
}

// sinceKernelStart returns CLOCK_BOOTTIME, the time in brackets in the kernel log.
func sinceKernelStart() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// loadState reads the boot environment. If it is damaged, loadState returns an error
// and the state that the boot loader uses in that case.
func (n *Node) loadState(booted *thisboot.Boot) (s slot.State, known bool, err error) {
	if n.OpenStore == nil {
		return s, false, errors.New("the boot environment is read on a running node only")
	}
	env, err := n.OpenStore(booted)
	if err != nil {
		return s, false, err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	s, err = env.Load()
	return s, s.Check() == nil, err
}

// Retries of a write: another program may hold the boot environment for a moment.
const (
	updateTries = 5
	updatePause = 2 * time.Second
)

// update applies an event in one write of the boot environment.
func (b *thisBoot) update(ctx context.Context, event settle.Event) error {
	if b.OpenStore == nil {
		return errors.New("the boot environment is written on a running node only")
	}
	err := b.updateOnce(event)
	for i := 1; i < updateTries && err != nil && ctx.Err() == nil; i++ {
		time.Sleep(updatePause)
		err = b.updateOnce(event)
	}
	if err != nil {
		return fmt.Errorf("writing the boot environment: %w", err)
	}
	if event == settle.MarkGood && b.state.Good != b.boot.Slot {
		return fmt.Errorf("slot %s is not on trial any more: slot %s is good", b.boot.Slot, b.state.Good)
	}
	return nil
}

func (b *thisBoot) updateOnce(event settle.Event) (err error) {
	env, err := b.OpenStore(b.booted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	state, err := env.Update(func(s slot.State) (slot.State, error) { return event.Apply(s, b.boot.Slot), nil })
	if err == nil {
		b.state = state
	}
	return err
}

// writeFailure writes the reason for a fallback to the file that Kairos uses for it.
func (n *Node) writeFailure(text string) error {
	if text == "" {
		return nil
	}
	_, err := n.Root.Replace(settle.FailureFile, tree.File{Data: []byte(text), Mode: 0o644})
	return err
}

// past returns the boot history. An error is only logged.
func (n *Node) past() []history.Entry {
	dir, err := n.Root.Fixed(history.Dir)
	if err == nil {
		var entries []history.Entry
		if entries, err = history.Read(dir); err == nil {
			return entries
		}
	}
	n.Log.Warn("reading the boot history", "error", err)
	return nil
}

// remember appends entries to the boot history. A boot gets one entry of kind Boot,
// however often the agent runs.
func (n *Node) remember(entries []history.Entry) error {
	dir, err := n.Root.Fixed(history.Dir)
	if err != nil {
		return err
	}
	id := n.bootID()
	have, errs := n.past(), []error(nil)
	for _, e := range entries {
		if e.Kind == history.Boot && id != "" && recorded(have, id) {
			continue
		}
		e.Time, e.BootID = time.Now().UTC().Truncate(time.Second), id
		switch err := history.Append(dir, e); {
		case errors.Is(err, history.ErrDamaged):
			n.Log.Warn("a new boot history was begun", "error", err)
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func recorded(past []history.Entry, id string) bool {
	for _, e := range past {
		if e.Kind == history.Boot && e.BootID == id {
			return true
		}
	}
	return false
}
