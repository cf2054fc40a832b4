// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

func TestNodeStatus(t *testing.T) {
	const text = `{"slots": [{"slot": "a", "condition": "good"}, {"slot": "b", "condition": "bad"}], "next": {"unproven": 1}}`
	status, err := parseStatus(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		slot layout.Slot
		is   slot.Condition
		ok   bool
	}{
		{"a", slot.Good, true}, {"a", slot.Old, false}, {"a", "", false}, {"b", slot.Bad, true}, {"b", slot.Good, false}, {"recovery", slot.Old, false},
	} {
		if err := status.SlotIs(tt.slot, tt.is); (err == nil) != tt.ok {
			t.Errorf("slot %s is %q: got %v, want it to be so: %v", tt.slot, tt.is, err, tt.ok)
		}
	}
	if status.CameUp() == nil {
		t.Error("a node with a boot that nobody proved came up")
	}
	status.Next.Unproven = 0
	if err := status.CameUp(); err != nil {
		t.Error(err)
	}
	if (NodeStatus{}).CameUp() == nil {
		t.Error("a node that says nothing came up")
	}
	if _, err := parseStatus("kairos"); err == nil {
		t.Error("what is no JSON is a status")
	}
}

// TestReason: an attempt that the limit cuts short says less than the one before it.
func TestReason(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	attempts := 0
	err := Seldom(ctx, CheckTimeout, time.Nanosecond, func(ctx context.Context) error {
		if attempts++; attempts == 1 {
			return errors.New("no cable")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err == nil || err.Error() != "no cable" {
		t.Errorf("got %v, want the reason of the first attempt", err)
	}
}
