// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// refuse prepares a release, which must fail with an error that says something.
func (n *node) refuse(v string, is error, says string) {
	n.t.Helper()
	n.hours++
	if _, err := n.Prepare(version(n.t, v)); !errors.Is(err, is) || !strings.Contains(err.Error(), says) {
		n.t.Errorf("%s: got %v, want %v that says %q", v, err, is, says)
	}
}

// TestNoRestore: a boot that must not put anything back changes nothing, and the newer
// image goes on with its data.
func TestNoRestore(t *testing.T) {
	n := upgraded(t, 1, "3.6.0")
	n.Boot = Boot{Slot: "recovery", NoRestore: "recovery runs"}
	n.refuse("v1.34.1+k3s1", ErrKept, "v1.34.1+k3s1 cannot read what v1.35.1+k3s1 left (etcd 3.6, before it was 3.5), and it stays as it is, nothing is put back: recovery runs")
	same(t, "the datastore", n.read(wal), "35")
	n.Boot = Boot{Slot: "a", Good: true}
	same(t, "the good slot again", n.start("v1.35.1+k3s1"), Change{})
	same(t, "copies", n.copies(), []string{"v1.34.1+k3s1"})
}

// TestNoRestoreNotNeeded: what can be read is started in any boot.
func TestNoRestoreNotNeeded(t *testing.T) {
	n := upgraded(t, 1, "3.5.0")
	n.Boot = Boot{NoRestore: "recovery runs"}
	if c := n.start("v1.34.1+k3s1"); c.Restored != nil || len(c.Notes) != 1 || n.read(wal) != "35" {
		t.Errorf("got %+v", c)
	}
}

// TestProven: the data of a release that was good are replaced only if a person asked.
func TestProven(t *testing.T) {
	for name, prove := range map[string]func(*node){
		"at the end of the trial":    func(n *node) { same(n.t, "error", n.Prove(), error(nil)) },
		"at a start of the good one": func(n *node) { n.Boot.Good = true; n.start("v1.35.1+k3s1") },
	} {
		t.Run(name, func(t *testing.T) {
			n := upgraded(t, 1, "3.6.0")
			prove(n)
			n.Boot = Boot{Slot: "a", Good: true}
			n.refuse("v1.34.1+k3s1", ErrKept, "v1.35.1+k3s1 was good with it, and what was written since 2026-01-01T02:00:00Z would be lost; start an image with v1.35 again, or put "+filepath.Join(n.Dir, "kairos/copies/v1.34.1+k3s1")+" back by hand")
			same(t, "the datastore", n.read(wal), "35")
			n.Boot = Boot{Slot: "a", Asked: true}
			if c := n.start("v1.34.1+k3s1"); c.Restored == nil || n.read(wal) != "34" {
				t.Errorf("asked: got %+v", c)
			}
		})
	}
}

// TestProvenBefore: that the older release was good, before or after a restore, does not
// protect the data of a trial.
func TestProvenBefore(t *testing.T) {
	n := newNode(t, release.K3s)
	for range 2 {
		n.Boot = Boot{Slot: "a", Good: true}
		n.start("v1.34.1+k3s1")
		n.etcd("3.5.0", "34", 1)
		n.Boot = Boot{Slot: "b"}
		n.start("v1.35.1+k3s1")
		n.etcd("3.6.0", "35", 1)
		n.Boot = Boot{Slot: "a", Good: true}
		if c := n.start("v1.34.1+k3s1"); c.Restored == nil {
			t.Errorf("got %+v", c)
		}
	}
}

// TestFar: Kubernetes reads what the next minor version has stored, and no more.
func TestFar(t *testing.T) {
	n := newNode(t, release.K3s)
	n.start("v1.35.1+k3s1")
	n.put("server/db/state.db", "35")
	n.refuse("v1.31.1+k3s1", ErrFar, "v1.35.1+k3s1 has used the datastore in "+n.Dir+", and v1.31.1+k3s1 reads only what the minor version after it has stored; nothing is changed: start an image with v1.35 or v1.34")
	n.start("v1.34.1+k3s1")
	n.refuse("v1.33.1+k3s1", ErrFar, "start an image with v1.35 or v1.34")
	same(t, "the next boot", n.start("v1.34.1+k3s1"), Change{})
	used, err := n.Used()
	same(t, "the last release", used.String(), "v1.34.1+k3s1")
	same(t, "its error", err, error(nil))
}

// TestForesee: what a rollback may cost is known before it.
func TestForesee(t *testing.T) {
	upgradedSlots := func(after string) *node {
		n := newNode(t, release.K3s)
		n.Boot = Boot{Slot: "a", Good: true}
		n.start("v1.34.1+k3s1")
		n.etcd("3.5.0", "34", 1)
		n.Boot = Boot{Slot: "b", Good: true}
		n.start("v1.35.1+k3s1")
		n.etcd(after, "35", 1)
		return n
	}
	foresee := func(n *node, slot string) string {
		c, err := n.Foresee(slot)
		if err != nil {
			t.Error(err)
		}
		if c == nil {
			return ""
		}
		return c.Release
	}
	n := upgradedSlots("3.6.0")
	same(t, "to the old slot", foresee(n, "a"), "v1.34.1+k3s1")
	same(t, "to the same one", foresee(n, "b"), "")
	same(t, "to a slot that never started it", foresee(n, "c"), "v1.34.1+k3s1")
	n.Boot.Slot = "a"
	n.start("v1.35.2+k3s1")
	same(t, "to a slot that was upgraded since", foresee(n, "a"), "")
	n = upgradedSlots("3.5.0")
	same(t, "etcd has not gone on", foresee(n, "a"), "")
	same(t, "no datastore", foresee(newNode(t, release.K3s), "a"), "")
}

// TestRoom: a copy that does not fit has deleted nothing. One that fits only so has deleted
// what is not kept, and what was set aside if the node was good without it.
func TestRoom(t *testing.T) {
	free := int64(1 << 40)
	back := func() *node {
		n := upgraded(t, 1, "3.6.0")
		n.put("server/db/large", strings.Repeat("x", 1<<20))
		n.start("v1.34.1+k3s1")
		n.Free = func(string) (int64, error) {
			if n.read("kairos/aside/v1.35.1+k3s1/server/db/large") == "nothing" {
				return free + 1<<20, nil
			}
			return free, nil
		}
		return n
	}
	const aside = "kairos/aside/v1.35.1+k3s1/" + wal
	n := back()
	free = 64 << 20
	n.refuse("v1.35.1+k3s1", ErrSpace, "there is no room")
	same(t, "aside, and the node was never good since", n.read(aside), "35")
	same(t, "error", n.Prove(), error(nil))
	free = 62 << 20
	n.refuse("v1.35.1+k3s1", ErrSpace, "there is no room")
	same(t, "aside, which would not do", n.read(aside), "35")
	free = 64 << 20
	n.start("v1.35.1+k3s1")
	same(t, "aside, which made the room", n.read(aside), "nothing")
	same(t, "copies", n.copies(), []string{"v1.34.1+k3s1"})
}

// TestRoomOfCopies: an old copy goes when the new one is there, or if it must.
func TestRoomOfCopies(t *testing.T) {
	n := newNode(t, release.K3s)
	n.start("v1.33.1+k3s1")
	n.put("server/db/state.db", strings.Repeat("x", 1<<20))
	n.start("v1.34.1+k3s1")
	n.start("v1.35.1+k3s1")
	free := int64(64 << 20)
	n.Free = func(string) (int64, error) {
		if n.read("kairos/copies/v1.33.1+k3s1/copy.json") == "nothing" {
			return free + 1<<20, nil
		}
		return free, nil
	}
	free = 62 << 20
	n.refuse("v1.36.1+k3s1", ErrSpace, "there is no room")
	same(t, "copies of before", n.copies(), []string{"v1.34.1+k3s1", "v1.33.1+k3s1"})
	free = 64 << 20
	n.start("v1.36.1+k3s1")
	same(t, "copies", n.copies(), []string{"v1.35.1+k3s1", "v1.34.1+k3s1"})

	free = 1 << 40
	n.Before = func(step string) error {
		if step == "name the copy" {
			same(t, "copies until the new one is whole", n.copies(), []string{"v1.35.1+k3s1", "v1.34.1+k3s1"})
		}
		return nil
	}
	n.start("v1.37.1+k3s1")
	same(t, "copies, with room", n.copies(), []string{"v1.36.1+k3s1", "v1.35.1+k3s1"})
}

// TestClock: the newest copy is the one that was made last, whatever the clock said.
func TestClock(t *testing.T) {
	n := newNode(t, release.K3s)
	n.start("v1.34.1+k3s1")
	n.etcd("3.5.0", "34", 1)
	n.start("v1.35.1+k3s1")
	n.start("v1.34.2+k3s1")
	n.etcd("3.5.0", "34 again", 1)
	n.Now = func() time.Time { return time.Unix(0, 0) }
	n.start("v1.35.1+k3s1")
	same(t, "copies", n.copies(), []string{"v1.34.2+k3s1", "v1.34.1+k3s1"})
	n.start("v1.36.1+k3s1")
	same(t, "the copies that are kept", n.copies(), []string{"v1.35.1+k3s1", "v1.34.2+k3s1"})
}

// TestDamagedCopy: the message says what to delete.
func TestDamagedCopy(t *testing.T) {
	n := upgraded(t, 1, "3.6.0")
	dir := filepath.Join(n.Dir, "kairos/copies/v1.34.1+k3s1")
	if err := os.WriteFile(filepath.Join(dir, "copy.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Prepare(version(t, "v1.34.1+k3s1")); err == nil || !strings.Contains(err.Error(), "a copy of the datastore is damaged: ") || !strings.HasSuffix(err.Error(), "; delete "+dir+", it cannot be put back") {
		t.Errorf("got %v", err)
	}
}
