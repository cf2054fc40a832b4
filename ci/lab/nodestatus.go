// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// A NodeStatus is what is judged of `kairos-agent status --json`.
type NodeStatus struct {
	Slots []struct {
		Slot      layout.Slot    `json:"slot"`
		Condition slot.Condition `json:"condition"`
	} `json:"slots"`
	Next *struct {
		Unproven int `json:"unproven"`
	} `json:"next"`
}

func parseStatus(text string) (NodeStatus, error) {
	var s NodeStatus
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("reading the status: %w", err)
	}
	return s, nil
}

// SlotIs judges the condition of a slot.
func (n NodeStatus) SlotIs(x layout.Slot, want slot.Condition) error {
	for _, s := range n.Slots {
		if s.Slot == x && s.Condition == want {
			return nil
		}
	}
	return fmt.Errorf("slot %s must be %s, the status says %v", x, want, n.Slots)
}

// CameUp judges whether the boot that runs counts as one that came up.
func (n NodeStatus) CameUp() error {
	if n.Next == nil {
		return fmt.Errorf("the status does not say how many boots nobody proved")
	}
	if n.Next.Unproven > 0 {
		return fmt.Errorf("the node is up, and %d boots count as ones that did not come up", n.Next.Unproven)
	}
	return nil
}

// Status asks the node.
func (m *Machine) Status(ctx context.Context) (NodeStatus, error) {
	text, err := m.Guest.Output(ctx, "kairos-agent", "status", "--json")
	if err != nil {
		return NodeStatus{}, err
	}
	return parseStatus(text)
}

// Slots looks at what the node says of slots a and b; an empty condition is
// not looked at.
func (m *Machine) Slots(ctx context.Context, a, b slot.Condition) error {
	status, err := m.Status(ctx)
	if err != nil {
		return err
	}
	for i, want := range []slot.Condition{a, b} {
		if want != "" {
			err = errors.Join(err, status.SlotIs(layout.Slots()[i], want))
		}
	}
	return err
}

// askEvery is the time between two questions to a node that is still at work.
const askEvery = 2 * time.Second

// until asks the node until the judge is content, and gives the judge's last word
// when the time is over.
func (m *Machine) until(ctx context.Context, judge func(NodeStatus) error) error {
	_, err := Retry(ctx, func(ctx context.Context) (NodeStatus, error) {
		status, err := m.Status(ctx)
		if err == nil {
			err = judge(status)
		}
		return status, err
	})
	return err
}

// WaitSlot waits until the node says this of a slot.
func (m *Machine) WaitSlot(ctx context.Context, x layout.Slot, want slot.Condition) error {
	return m.until(ctx, func(n NodeStatus) error { return n.SlotIs(x, want) })
}

// Settled waits until the boot that runs is counted as one that came up.
func (m *Machine) Settled(ctx context.Context) error { return m.until(ctx, NodeStatus.CameUp) }

// WaitOutput runs a program until it succeeds: the node may still be at work.
func WaitOutput(ctx context.Context, g *Guest, argv ...string) (string, error) {
	return Retry(ctx, func(ctx context.Context) (string, error) { return g.Output(ctx, argv...) })
}

// Retry does something until it works, for CheckTimeout at most.
func Retry[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, CheckTimeout)
	defer cancel()
	for {
		value, err := do(ctx)
		if err == nil {
			return value, nil
		}
		select {
		case <-ctx.Done():
			return value, err
		case <-time.After(askEvery):
		}
	}
}

// Until does something again until it works, for CheckTimeout at most.
func Until(ctx context.Context, do func() error) error {
	_, err := Retry(ctx, func(context.Context) (any, error) { return nil, do() })
	return err
}
