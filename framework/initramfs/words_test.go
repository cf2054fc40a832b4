// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/history"
)

func TestLastWords(t *testing.T) {
	got := lastWords(errors.New(`step "verity": no such device`), arguments{Slot: layout.SlotB})
	if got.Kind != history.Boot || got.Outcome != history.Failed || got.Slot != layout.SlotB || got.Time.IsZero() ||
		got.Message != `the initramfs gave up: step "verity": no such device` {
		t.Errorf("got %+v", got)
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil && got.BootID != strings.TrimSpace(string(id)) {
		t.Errorf("boot ID %q, want %q", got.BootID, id)
	}
}

// TestNowhereToLeaveWords: without a disk, leaveWords does nothing.
func TestNowhereToLeaveWords(t *testing.T) {
	var said strings.Builder
	b := &boot{log: slog.New(slog.NewTextHandler(&said, nil))}
	b.leaveWords(errors.New("x"))
	if said.Len() > 0 {
		t.Errorf("no disk was found, and it says %q", &said)
	}
}
