// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// A NodeStatus is the part of `kairos-agent status --json` that the tests check.
type NodeStatus struct {
	Slots []struct {
		Slot      layout.Slot    `json:"slot"`
		Condition slot.Condition `json:"condition"`
		Trust     string         `json:"trust"`
	} `json:"slots"`
	Trust struct {
		Keys  int    `json:"keys"`
		Floor string `json:"floor"`
		Image string `json:"image"`
	} `json:"trust"`
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

// SlotIs returns an error if the condition of slot x is not want.
func (n NodeStatus) SlotIs(x layout.Slot, want slot.Condition) error {
	for _, s := range n.Slots {
		if s.Slot == x && s.Condition == want {
			return nil
		}
	}
	return fmt.Errorf("slot %s must be %s, the status says %v", x, want, n.Slots)
}

// CameUp returns an error if the current boot does not count as one that came up.
func (n NodeStatus) CameUp() error {
	if n.Next == nil {
		return fmt.Errorf("the status does not say how many boots nobody proved")
	}
	if n.Next.Unproven > 0 {
		return fmt.Errorf("the node is up, and %d boots count as ones that did not come up", n.Next.Unproven)
	}
	return nil
}

// Status asks the node for its status.
func (m *Machine) Status(ctx context.Context) (NodeStatus, error) {
	text, err := m.Guest.Output(ctx, "kairos-agent", "status", "--json")
	if err != nil {
		return NodeStatus{}, err
	}
	return parseStatus(text)
}

// Slots checks the conditions of slots a and b in the node's status. An empty condition
// is not checked.
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

// askEvery is the time between two questions to a busy node.
const askEvery = 2 * time.Second

// until asks the node for its status until judge accepts it. When the time is over it
// returns the last error.
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

// WaitSlot waits until the condition of slot x is want.
func (m *Machine) WaitSlot(ctx context.Context, x layout.Slot, want slot.Condition) error {
	return m.until(ctx, func(n NodeStatus) error { return n.SlotIs(x, want) })
}

// Settled waits until the current boot counts as one that came up.
func (m *Machine) Settled(ctx context.Context) error { return m.until(ctx, NodeStatus.CameUp) }

// WaitOutput runs a program until it succeeds: the node may still be busy.
func WaitOutput(ctx context.Context, g *Guest, argv ...string) (string, error) {
	return Retry(ctx, func(ctx context.Context) (string, error) { return g.Output(ctx, argv...) })
}

// Retry calls do until it succeeds, for CheckTimeout at most.
func Retry[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	return retry(ctx, CheckTimeout, askEvery, do)
}

// retry returns the reason of the last attempt that the limit did not cut short.
func retry[T any](ctx context.Context, limit, pause time.Duration, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := qemu.WithTimeout(ctx, limit)
	defer cancel()
	var reason error
	for {
		value, err := do(ctx)
		if err == nil {
			return value, nil
		}
		if reason == nil || ctx.Err() == nil {
			reason = err
		}
		select {
		case <-ctx.Done():
			return value, reason
		case <-time.After(pause):
		}
	}
}

// Until is Retry for a function that returns only an error.
func Until(ctx context.Context, do func(context.Context) error) error {
	return Seldom(ctx, CheckTimeout, askEvery, do)
}

// Seldom is Until with a limit and a pause between two attempts that are longer than usual: an
// attempt that takes seconds of an emulated processor would keep the node from what it waits for.
func Seldom(ctx context.Context, limit, pause time.Duration, do func(context.Context) error) error {
	_, err := retry(ctx, limit, pause, func(ctx context.Context) (any, error) { return nil, do(ctx) })
	return err
}
