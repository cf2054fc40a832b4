// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// A nodeStatus is what is judged of `kairos-agent status --json`.
type nodeStatus struct {
	Slots []struct {
		Slot      layout.Slot    `json:"slot"`
		Condition slot.Condition `json:"condition"`
	} `json:"slots"`
	Next *struct {
		Unproven int `json:"unproven"`
	} `json:"next"`
}

func parseStatus(text string) (nodeStatus, error) {
	var s nodeStatus
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("reading the status: %w", err)
	}
	return s, nil
}

// slotIs judges the condition of a slot.
func (n nodeStatus) slotIs(x layout.Slot, want slot.Condition) error {
	for _, s := range n.Slots {
		if s.Slot == x && s.Condition == want {
			return nil
		}
	}
	return fmt.Errorf("slot %s must be %s, the status says %v", x, want, n.Slots)
}

// cameUp judges whether the boot that runs counts as one that came up.
func (n nodeStatus) cameUp() error {
	if n.Next == nil {
		return fmt.Errorf("the status does not say how many boots nobody proved")
	}
	if n.Next.Unproven > 0 {
		return fmt.Errorf("the node is up, and %d boots count as ones that did not come up", n.Next.Unproven)
	}
	return nil
}

// status asks the node.
func (s *session) status(ctx context.Context) (nodeStatus, error) {
	text, err := s.guest.output(ctx, "kairos-agent", "status", "--json")
	if err != nil {
		return nodeStatus{}, err
	}
	return parseStatus(text)
}

// askEvery is the time between two questions to a node that is still at work.
const askEvery = 2 * time.Second

// until asks the node until the judge is content, and gives the judge's last word
// when the time is over.
func (s *session) until(ctx context.Context, judge func(nodeStatus) error) error {
	_, err := retry(ctx, func(ctx context.Context) (nodeStatus, error) {
		status, err := s.status(ctx)
		if err == nil {
			err = judge(status)
		}
		return status, err
	})
	return err
}

// waitSlot waits until the node says this of a slot.
func (s *session) waitSlot(ctx context.Context, x layout.Slot, want slot.Condition) error {
	return s.until(ctx, func(n nodeStatus) error { return n.slotIs(x, want) })
}

// settled waits until the boot that runs is counted as one that came up.
func (s *session) settled(ctx context.Context) error { return s.until(ctx, nodeStatus.cameUp) }

// waitOutput runs a program until it succeeds: the node may still be at work.
func waitOutput(ctx context.Context, g *Guest, argv ...string) (string, error) {
	return retry(ctx, func(ctx context.Context) (string, error) { return g.output(ctx, argv...) })
}

// retry does something until it works, for checkTimeout at most.
func retry[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
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
