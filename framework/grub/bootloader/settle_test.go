// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSettle(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(t *testing.T, m Machine, fw *firmware, fresh *Files)
		fw     bool
		want   Outcome
		now    State // of the image
		unsure bool
	}{
		{"nothing staged", func(*testing.T, Machine, *firmware, *Files) {}, true, Outcome{}, Outdated, false},
		{"before the trial", func(t *testing.T, m Machine, _ *firmware, f *Files) { stage(t, m, f) }, true, Outcome{Was: Trying, Now: Trying}, Trying, false},
		{"in the trial", func(t *testing.T, m Machine, fw *firmware, f *Files) { stage(t, m, f); fw.boot() }, true, Outcome{Was: Running, Now: Current}, Current, false},
		{"trial failed", func(t *testing.T, m Machine, fw *firmware, f *Files) { stage(t, m, f); fw.boot(); fw.boot() }, true, Outcome{Was: Failed, Now: Outdated}, Outdated, false},
		{"entry lost", func(t *testing.T, m Machine, fw *firmware, f *Files) { stage(t, m, f); clear(fw.vars) }, true, Outcome{Was: Staged, Now: Trying}, Trying, false},
		{"variables are full", func(t *testing.T, m Machine, fw *firmware, f *Files) { fw.fail = fs.ErrPermission; stage(t, m, f) }, true, Outcome{Was: Staged, Now: Current}, Current, true},
		{"BIOS", func(t *testing.T, m Machine, _ *firmware, f *Files) { stage(t, m, f) }, false, Outcome{Was: Staged, Now: Current}, Current, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			fresh := loader(t, release("2"))
			d := newDisk(t, loader(t, release("1")))
			fw := newFirmware(d)
			m := machine(d, fw)
			if !c.fw {
				m.Vars = nil
			}
			c.before(t, m, fw, fresh)
			got, err := Settle(m)
			if (got.Unproved != nil) != c.unsure {
				t.Errorf("unproved: %v", got.Unproved)
			}
			got.Unproved = nil
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("error %v, (-want +got)\n%s", err, diff)
			}
			if u, err := Plan(m, fresh); err != nil || u.State != c.now {
				t.Errorf("then %q, %v: want %q", u.State, err, c.now)
			}
		})
	}
}

func stage(t *testing.T, m Machine, f *Files) {
	t.Helper()
	if _, err := Stage(m, f); err != nil {
		t.Fatal(err)
	}
}

func TestStaging(t *testing.T) {
	want := loader(t, release("2"))
	d := newDisk(t, loader(t, release("1")))
	m := machine(d, nil)
	if _, err := Staging(m); !errors.Is(err, ErrNotStaged) {
		t.Errorf("nothing is staged: %v", err)
	}
	stage(t, m, want)
	got, err := Staging(m)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Files{}, program{})); diff != "" || err != nil {
		t.Errorf("error %v, (-want +got)\n%s", err, diff)
	}
}

// TestOtherFolder: GRUB's folder is built into it and holds the environment block.
func TestOtherFolder(t *testing.T) {
	files := release("2")
	files["grub-dir"] = []byte("ubuntu")
	_, err := Stage(machine(newDisk(t, loader(t, release("1"))), nil), loader(t, files))
	if !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
}

// TestCutStaging: after an interruption the staging is whole, or nothing is staged.
func TestCutStaging(t *testing.T) {
	want := loader(t, release("2"))
	d := newDisk(t, loader(t, release("1")))
	stage(t, machine(d, nil), want)
	if err := Discard(machine(d, nil)); err != nil {
		t.Fatal(err)
	}
	whole := 0
	for when, state := range d.States(4, 11) {
		got, err := Staging(machine(state, nil))
		if errors.Is(err, ErrNotStaged) {
			continue
		}
		whole++
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Files{}, program{})); diff != "" || err != nil {
			t.Fatalf("%s: error %v, (-want +got)\n%.500s", when, err, diff)
		}
	}
	if whole == 0 {
		t.Error("it was never staged")
	}
}
