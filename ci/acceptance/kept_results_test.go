// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"io"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKeptResults: what passed is there again, what failed is not.
func TestKeptResults(t *testing.T) {
	r := &runner{Options: Options{Progress: io.Discard, Log: slog.New(slog.DiscardHandler)}}
	k := &keptResults{t.TempDir(), r.Log}
	good, bad, none := newSession(r, "upgrade@uefi", "uefi", 0), newSession(r, "recovery", "bios", 0), newSession(r, "damaged", "bios", 0)
	good.version = "v1"
	good.boots = []Boot{{Machine: good.name, Number: 1, ReadySeconds: 31}}
	good.record("two", "second", 0, "text", nil)
	good.record("one", "first", 0, "", nil)
	bad.record("one", "first", 0, "", io.EOF)
	for _, s := range []*session{good, bad, none} {
		k.keep(s)
	}
	again := k.session(job{name: good.name, boot: good.boot}, r)
	if again == nil {
		t.Fatal("what passed is not kept")
	}
	if diff := cmp.Diff(good.inOrder(), again.inOrder()) + cmp.Diff(good.boots, again.boots); diff != "" || again.version != "v1" {
		t.Errorf("version %q\n%s", again.version, diff)
	}
	for _, s := range []*session{bad, none} {
		if k.session(job{name: s.name}, r) != nil {
			t.Errorf("%s is kept", s.name)
		}
	}
	var nothing *keptResults
	nothing.keep(good)
	if nothing.session(job{name: good.name}, r) != nil {
		t.Error("without Resume something is kept")
	}
}
