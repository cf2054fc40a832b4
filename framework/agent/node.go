// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/node/thisboot"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// node is this boot and what the boot loader remembers of it.
type node struct {
	boot   settle.Boot
	booted *thisboot.State // as /init left it
	// state is what the boot loader goes by; when it is unknown, the slot that
	// runs counts as good, so that nothing follows.
	state slot.State
}

// thisNode reads what was booted. An error beside a node says what is wrong
// with the boot environment.
func (p *program) thisNode() (*node, error) {
	data, err := p.root.Read(layout.StateFile)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", thisboot.ErrNone, err)
	}
	b, err := thisboot.Decode(data)
	if err != nil {
		return nil, err
	}
	n := &node{
		boot:   settle.Boot{Slot: b.Slot, Mode: b.Mode, Version: status.Release(p.root)["KAIROS_VERSION"], Ready: sinceKernelStart()},
		booted: b,
		state:  slot.State{Good: b.Slot},
	}
	state, known, err := p.loadState(b)
	if known {
		n.state = state
		n.boot.Tried = p.versionOf(b, state, state.Try)
	}
	return n, err
}

// versionOf reads the label of a slot; empty when it is not known.
func (p *program) versionOf(booted *thisboot.State, env slot.State, x layout.Slot) string {
	for _, info := range status.Slots(p.root, booted, env) {
		if info.Slot == x {
			return info.Version
		}
	}
	return ""
}

// sinceKernelStart is CLOCK_BOOTTIME: what the kernel's log has in brackets.
func sinceKernelStart() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// loadState reads the boot environment. A damaged one gives the state by which
// the boot loader acts, and an error.
func (p *program) loadState(booted *thisboot.State) (s slot.State, known bool, err error) {
	if p.openStore == nil {
		return s, false, errors.New("the boot environment is read on a running node only")
	}
	env, err := p.openStore(booted)
	if err != nil {
		return s, false, err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	s, err = env.Load()
	return s, s.Check() == nil, err
}

// Another program may hold the boot environment for a moment.
const (
	updateTries = 5
	updatePause = 2 * time.Second
)

// update carries an event out, in one write of the boot environment.
func (p *program) update(ctx context.Context, n *node, event settle.Event) error {
	if p.openStore == nil {
		return errors.New("the boot environment is written on a running node only")
	}
	err := p.updateOnce(n, event)
	for i := 1; i < updateTries && err != nil && ctx.Err() == nil; i++ {
		time.Sleep(updatePause)
		err = p.updateOnce(n, event)
	}
	if err != nil {
		return fmt.Errorf("writing the boot environment: %w", err)
	}
	if event == settle.MarkGood && n.state.Good != n.boot.Slot {
		return fmt.Errorf("slot %s is not on trial any more: slot %s is good", n.boot.Slot, n.state.Good)
	}
	return nil
}

func (p *program) updateOnce(n *node, event settle.Event) (err error) {
	env, err := p.openStore(n.booted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	state, err := env.Update(func(s slot.State) (slot.State, error) { return event.Apply(s, n.boot.Slot), nil })
	if err == nil {
		n.state = state
	}
	return err
}

// past is the boot history; what is wrong with it is only said.
func (p *program) past() []history.Entry {
	dir, err := p.root.Fixed(history.Dir)
	if err == nil {
		var entries []history.Entry
		if entries, err = history.Read(dir); err == nil {
			return entries
		}
	}
	p.log.Warn("reading the boot history", "error", err)
	return nil
}

// remember appends entries to the boot history. A boot has one entry of its
// kind, however often the agent is run.
func (p *program) remember(entries []history.Entry) error {
	dir, err := p.root.Fixed(history.Dir)
	if err != nil {
		return err
	}
	id := p.bootID()
	have, errs := p.past(), []error(nil)
	for _, e := range entries {
		if e.Kind == history.Boot && id != "" && recorded(have, id) {
			continue
		}
		e.Time, e.BootID = time.Now().UTC().Truncate(time.Second), id
		switch err := history.Append(dir, e); {
		case errors.Is(err, history.ErrDamaged):
			p.log.Warn("a new boot history was begun", "error", err)
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

// bootID is the kernel's name of this boot, or empty.
func (p *program) bootID() string {
	data, err := p.root.Read("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// writeFailure leaves the reason of a fallback where Kairos has it.
func (p *program) writeFailure(text string) error {
	if text == "" {
		return nil
	}
	_, err := p.root.Replace(settle.FailureFile, tree.File{Data: []byte(text), Mode: 0o644})
	return err
}
