// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/crash"
	"github.com/kairos-build/kairos-build/framework/layout"
)

func TestTell(t *testing.T) {
	prints := []crash.Footprint{
		{Step: crash.Step{Name: "first boot", Running: []layout.Slot{layout.SlotA}, Seconds: 7.4}, Writes: 12},
		{Step: crash.Step{Name: "upgrade", Running: []layout.Slot{layout.SlotA}, Seconds: 60}, Writes: 345, Slots: 300},
	}
	var out bytes.Buffer
	if err := tell(prints, &out); err != nil {
		t.Error(err)
	}
	want := `step        seconds  running  writes  to any slot  to a running slot
first boot  7        [a]      12      0            0
upgrade     60       [a]      345     300          0
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	prints[1].Active = 1
	if err := tell(prints, io.Discard); err == nil || !strings.Contains(err.Error(), "1 writes went to a slot that was running") {
		t.Errorf("got %v, want an error: the running slot was written", err)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"-o", "rec"}, {"dir"}, {"-o", "rec", "dir", "more"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "record -o FOLDER DIR") {
			t.Errorf("%q: got %v, want an error that says how it is used", args, err)
		}
	}
}
