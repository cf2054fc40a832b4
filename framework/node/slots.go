// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// Store is the boot loader's state on this node's disk.
type Store interface {
	slot.Store
	Close() error
}

// OpenStore opens the store of the disk that the node was booted from.
func OpenStore(booted *thisboot.Boot) (Store, error) {
	esp, ok := booted.Partition(layout.PartEFI)
	if !ok {
		return nil, fmt.Errorf("opening the boot environment: the disk has no partition named %s", layout.PartEFI)
	}
	return bootenv.Open(esp.Device)
}

// RollbackOptions say how to go back.
type RollbackOptions struct {
	Tries int  // of the old slot
	Force bool // even if it may cost data of the cluster
}

// Rollback gives up a trial, or puts the old slot on trial. It returns the new state of
// the boot loader, and what the datastore of Kubernetes may lose, if anything. An image that the
// node has written by itself, and that it goes back from, is not written again.
func (n *Node) Rollback(o RollbackOptions) (next slot.State, loss string, err error) {
	next, loss, err = n.rollback(o)
	if err == nil {
		_, err = n.Root.Remove(waitingMark)
	}
	return next, loss, err
}

func (n *Node) rollback(o RollbackOptions) (next slot.State, loss string, err error) {
	next, err = n.changeSlots(func(s slot.State) (slot.State, error) {
		after, err := s.Rollback(o.Tries)
		if err == nil {
			loss, err = n.checkLoss(s, o.Force)
		}
		if err != nil {
			return s, err
		}
		return after, nil
	})
	if err == nil {
		n.warn("writing the boot history", n.remember([]history.Entry{rolledBack(next)}))
	}
	return next, loss, err
}

// Select chooses what the next boot starts, once. An empty mode cancels the choice.
func (n *Node) Select(mode layout.Mode) (slot.State, error) {
	return n.changeSlots(func(s slot.State) (slot.State, error) { return s.Select(mode) })
}

// Slots returns the slots of the disk and the boot loader's state. Slots with an error
// mean that the state is damaged.
func (n *Node) Slots() (slots []status.SlotInfo, s slot.State, err error) {
	booted, err := status.ThisBoot(n.Root)
	if err != nil {
		return nil, s, err
	}
	env, err := status.Environment(n.Root, booted)
	if err != nil {
		return nil, s, err
	}
	s, damage := env.Load()
	if err := env.Close(); err != nil {
		return nil, s, err
	}
	return status.Slots(n.Root, booted, s), s, damage
}

// rolledBack returns the entry for the boot history. It names the slot that the node
// goes back to.
func rolledBack(next slot.State) history.Entry {
	to := next.Good
	if next.Try != "" {
		to = next.Try
	}
	return history.Entry{Kind: history.Rollback, Slot: to, Outcome: history.OK, Message: status.NextBoot(next).Sentence}
}

// changeSlots applies an event to the boot environment and returns the new state.
func (n *Node) changeSlots(event func(slot.State) (slot.State, error)) (next slot.State, err error) {
	state, err := status.ThisBoot(n.Root)
	if err != nil {
		return next, err
	}
	env, err := status.Environment(n.Root, state)
	if err != nil {
		return next, err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	return env.Update(event)
}
