// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/wipe"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

const (
	a, b = layout.SlotA, layout.SlotB
)

// envs returns states from which a person may reset. In all of them a and b are whole.
func envs() map[string]slot.State {
	return map[string]slot.State{
		"a good":             {Good: a},
		"b good, a bad":      {Good: b, Bad: a},
		"b on trial":         {Good: a, Try: b, Tries: 2},
		"recovery half done": {Good: b, BadRecovery: true},
	}
}

// checkDone checks that a node is as a reset leaves it.
func (m *model) checkDone(t *testing.T, first map[string][]byte, oem bool) {
	t.Helper()
	if diff := cmp.Diff(slot.Initial(), m.env()); diff != "" {
		t.Errorf("boot environment (-want +got):\n%s", diff)
	}
	for _, s := range []layout.Slot{a, b} {
		if !m.isCopy(t, s) {
			t.Errorf("slot %s is not a copy of recovery", s)
		}
	}
	for _, name := range []string{"boot-recovery", "root-recovery"} {
		if p := m.parts[name]; p.written || !bytes.Equal(p.now, first[name]) {
			t.Errorf("%s was written", name)
		}
	}
	if r, err := wipe.Read(filepath.Join(m.root.Dir, wipe.Path)); err != nil || r == nil || r.UUID[:2] != "07" {
		t.Errorf("request to wipe: %v, %v", r, err)
	}
	if m.root.Exists(MarkPath) {
		t.Error("the mark is still there")
	}
	for path, want := range map[string]bool{"/oem/90.yaml": !oem, "/oem/sub/dir/x": !oem, "/oem/.kairos/other.json": true, "/oem/lost+found/.keep": true} {
		if got := m.root.Exists(path); got != want {
			t.Errorf("%s is there: %v, want %v", path, got, want)
		}
	}
}

func TestReset(t *testing.T) {
	for name, env := range envs() {
		for _, oem := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, oem %v", name, oem), func(t *testing.T) {
				m := newModel(t, env)
				first := m.snapshot()
				if err := m.reset(t, Options{OEM: oem}); err != nil {
					t.Fatal(err)
				}
				m.checkDone(t, first, oem)
				if got := m.boots(); got != a {
					t.Errorf("boots %s, want a", got)
				}
			})
		}
	}
}

// checkCut boots three times after a power cut and checks that each boot starts a whole
// slot. Then it finishes the reset from recovery.
func (m *model) checkCut(t *testing.T, where string, lost bool, first map[string][]byte) {
	t.Helper()
	m.cut(lost)
	for i := range 3 {
		s := m.boots()
		if s != layout.SlotRecovery && (s != a && s != b || !m.whole(t, s, first)) {
			t.Errorf("%s (unsynced writes lost: %v): boot %d starts %s, which is not whole", where, lost, i, s)
		}
	}
	if err := m.reset(t, Options{OEM: true}); err != nil {
		t.Fatalf("%s: running again: %v", where, err)
	}
	m.checkDone(t, first, true)
}

func TestCutAfterEachStep(t *testing.T) {
	for name, env := range envs() {
		for cut := range len((&run{}).steps()) {
			for _, lost := range []bool{false, true} {
				m := newModel(t, env)
				first := m.snapshot()
				p, err := New(m.boot, Options{OEM: true})
				if err != nil {
					t.Fatal(err)
				}
				r := &run{Plan: p, Installation: m.node(), boots: map[layout.Slot]*fat32.Relabeled{}, open: map[string]Device{}}
				for _, s := range r.steps()[:cut] {
					if err := s.run(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				m.checkCut(t, fmt.Sprintf("%s, cut before step %d", name, cut), lost, first)
			}
		}
	}
}

func TestErrorAtEachWrite(t *testing.T) {
	for name, env := range envs() {
		for _, lost := range []bool{false, true} {
			n := 0
			for ; ; n++ {
				m := newModel(t, env)
				first := m.snapshot()
				m.left = n
				err := m.reset(t, Options{OEM: true})
				if err == nil {
					break
				}
				if !errors.Is(err, errIO) {
					t.Fatalf("%s, write %d: got error %v", name, n, err)
				}
				m.checkCut(t, fmt.Sprintf("%s, error at write %d", name, n), lost, first)
			}
			if n < 10 {
				t.Errorf("%s: a reset has %d writes: too few to be one", name, n)
			}
		}
	}
}

func TestNothingIsWrittenBeforeTheChecks(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(m *model)
		want   error
		text   string
	}{
		{"data of recovery", func(m *model) { m.parts["root-recovery"].now[5000] ^= 1 }, verity.ErrCorrupt, "recovery is damaged, and nothing was written"},
		{"hash tree of recovery", func(m *model) { m.parts["root-recovery"].now[21*4096] ^= 1 }, verity.ErrCorrupt, "recovery is damaged"},
		{"boot of recovery", func(m *model) { m.parts["boot-recovery"].now[510] = 0 }, nil, "nothing was written; install the node again: no FAT32 file system"},
		{"boot of recovery is cut short", func(m *model) { m.parts["boot-recovery"].now[33] = 1 }, io.ErrUnexpectedEOF, "boot partition of recovery is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(t, slot.State{Good: b})
			c.damage(m)
			err := m.reset(t, Options{OEM: true})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got error %v, want %q", err, c.text)
			}
			for name, p := range m.parts {
				if p.written {
					t.Errorf("%s was written", name)
				}
			}
			if m.env() != (slot.State{Good: b}) || m.root.Exists(MarkPath) || !m.root.Exists("/oem/90.yaml") {
				t.Errorf("the node was changed: %+v", m.env())
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	without := func(s *thisboot.Boot, name string) {
		for i := range s.Partitions {
			if s.Partitions[i].Name == name {
				s.Partitions[i].Name = "other"
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(s *thisboot.Boot)
		want   string
	}{
		{"slot a", func(s *thisboot.Boot) { s.Slot, s.Mode = a, layout.ModeActive }, "type `kairos-agent bootentry --select recovery`"},
		{"no root hash", func(s *thisboot.Boot) { s.RootHash = "" }, "want 64 hex digits"},
		{"odd image", func(s *thisboot.Boot) { s.HashOffset = 1 }, "want a positive multiple of 4096"},
		{"no root-b", func(s *thisboot.Boot) { without(s, "root-b") }, "has no partition root-b: install the node again"},
		{"no persistent", func(s *thisboot.Boot) { without(s, "persistent") }, "has no partition persistent"},
		{"root-a too small", func(s *thisboot.Boot) { s.Partitions[0].Size = 4096 }, "partition root-a () has 4096 bytes, recovery needs"},
		{"boot-a too small", func(s *thisboot.Boot) { s.Partitions[1].Size = 512 }, "partition boot-a () has 512 bytes, recovery needs 32768"},
		{"oem in memory", func(s *thisboot.Boot) { s.Mounts[0].Kind = thisboot.MountFallback }, "/oem is not mounted from its partition"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(t, slot.Initial())
			c.change(m.boot)
			if _, err := New(m.boot, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}

func TestInterruptedResetOfOEMGoesOn(t *testing.T) {
	m := newModel(t, slot.Initial())
	first := m.snapshot()
	m.left = 4
	if err := m.reset(t, Options{OEM: true}); !errors.Is(err, errIO) {
		t.Fatal(err)
	}
	m.cut(true)
	if err := m.reset(t, Options{}); err != nil {
		t.Fatal(err)
	}
	m.checkDone(t, first, true)
}

func TestClaimedPartition(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root-a")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Partitions{{Name: "root-a", Device: file}}.Claim("root-a")
	if err != nil {
		t.Fatal(err)
	}
	if err := writeSynced(d, []byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if err := errors.Join(readFull(d, got, 0), d.Close()); err != nil || string(got) != "new" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := (Partitions{}).Open("root-a"); err == nil {
		t.Error("a partition that is not there was opened")
	}
}
