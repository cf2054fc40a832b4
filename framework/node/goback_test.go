// SPDX-License-Identifier: Apache-2.0

package node

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/datastore"
	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// TestDatastoreBoot: in which boots a copy may be put back.
func TestDatastoreBoot(t *testing.T) {
	for _, c := range []struct {
		name  string
		state slot.State
		slot  layout.Slot
		mode  layout.Mode
		want  datastore.Boot // NoRestore: a part of it
	}{
		{"the good slot", slot.State{Good: "a"}, "a", "active", datastore.Boot{Slot: "a", Good: true}},
		{"a trial failed", slot.State{Good: "a", Try: "b"}, "a", "passive", datastore.Boot{Slot: "a", Good: true}},
		{"a trial was given up", slot.State{Good: "a", Bad: "b"}, "a", "active", datastore.Boot{Slot: "a", Good: true}},
		{"on trial", slot.State{Good: "a", Try: "b", Tries: 1}, "b", "active", datastore.Boot{Slot: "b", Asked: true}},
		{"in the place of the good one", slot.State{Good: "b", Unproven: slot.MaxUnproven + 1}, "a", "passive", datastore.Boot{Slot: "a", NoRestore: "slot a runs in the place of slot b"}},
		{"the same, up", slot.State{Good: "b"}, "a", "passive", datastore.Boot{Slot: "a", NoRestore: "slot a runs, and slot b is the good one"}},
		{"a trial from the menu", slot.State{Good: "a", Try: "b", Tries: 1}, "b", "passive", datastore.Boot{Slot: "b", NoRestore: "slot b runs, and slot a is the good one"}},
		{"recovery", slot.State{Good: "a"}, "recovery", "recovery", datastore.Boot{Slot: "recovery", NoRestore: "this is recovery"}},
		{"recovery after a trial", slot.State{Good: "a", Try: "b"}, "recovery", "recovery", datastore.Boot{Slot: "recovery", NoRestore: "this is recovery"}},
	} {
		got := datastoreBootOf(c.state, settle.Boot{Slot: c.slot, Mode: c.mode})
		if strings.HasPrefix(got.NoRestore, c.want.NoRestore) && c.want.NoRestore != "" {
			got.NoRestore = c.want.NoRestore
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestDatastoreBootUnknown: without a state of the boot loader, nothing is put back.
func TestDatastoreBootUnknown(t *testing.T) {
	for name, n := range map[string]*machine{"no initramfs of ours": newMachine(t, "a", "active", slot.State{Good: "a"}), "no boot environment": newMachine(t, "a", "active", slot.State{Good: "a"})} {
		n.OpenStore = nil
		if name == "no initramfs of ours" {
			put(t, n.Root.Dir, layout.StateFile, "{")
		}
		if got := n.datastoreBoot(); got.Good || got.Asked || !strings.HasPrefix(got.NoRestore, "why this image runs is not known: ") {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// TestDatastoreIsProven: when a slot becomes good, what it writes is not replaced any more.
func TestDatastoreIsProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, "b", layout.ModeActive, slot.State{Good: "a", Try: "b", Tries: 2})
		dir := m.Root.Dir
		put(t, dir, layout.ImageKubernetes[1:], "v1.35.1+k3s1\n")
		put(t, dir, layout.ImageKubernetesArguments[1:], "server --cluster-init switch\n")
		put(t, dir, "oem/90.yaml", "k3s: {enabled: true, args: [--cluster-init]}\n")
		record := filepath.Join("var/lib/rancher/k3s/kairos/record.json")
		m.System = running{}
		if code := m.do(t.Context(), (*Node).Kubernetes); code != 0 {
			t.Errorf("%s", m.out)
		}
		if code := m.do(t.Context(), (*Node).PrepareDatastore); code != 0 || strings.Contains(content(t, dir, record), "good") {
			t.Errorf("%s, %s", m.out, content(t, dir, record))
		}
		if code := m.do(t.Context(), (*Node).Settle); code != 0 || m.env.state().Good != "b" || !strings.Contains(content(t, dir, record), `"good": "v1.35.1+k3s1"`) {
			t.Errorf("%s, %s", m.out, content(t, dir, record))
		}
	})
}
