// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// slotNode makes a node that runs from slot a. The boot partitions of its disk are files
// in place of devices.
func slotNode(t *testing.T, s slot.State) string {
	t.Helper()
	dir := newNode(t)
	state := &thisboot.Boot{Slot: layout.SlotA, Mode: layout.ModeActive, Disk: thisboot.Disk{Device: "/dev/vda"}}
	for name, device := range map[string]string{"efi": "/dev/vda2", "boot-a": "/dev/vda3", "boot-b": "/dev/vda5", "boot-recovery": "/dev/vda7"} {
		state.Partitions = append(state.Partitions, thisboot.Partition{Name: name, Device: device})
	}
	if err := state.Write(filepath.Join(dir, layout.StateFile)); err != nil {
		t.Fatal(err)
	}
	env, err := grubenv.Encode(s.Vars())
	if err != nil {
		t.Fatal(err)
	}
	volume(t, dir, "vda2", fat32.File{Path: "EFI/debian/grubenv", Data: env})
	volume(t, dir, "vda3", fat32.File{Path: layout.BootLabel, Data: []byte("VERSION=v2\nDIGEST=sha256:02\n")})
	volume(t, dir, "vda5", fat32.File{Path: layout.BootLabel, Data: []byte("VERSION=v1\n")})
	put(t, dir, "dev/vda7", "no file system")
	return dir
}

func volume(t *testing.T, dir, device string, files ...fat32.File) {
	t.Helper()
	put(t, dir, "dev/"+device, "")
	path := filepath.Join(dir, "dev", device)
	if err := os.Truncate(path, 34<<20); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := fat32.Write(f, 34<<20, files, fat32.Options{}); err != nil {
		t.Fatal(err)
	}
}

func environment(t *testing.T, dir string) slot.State {
	t.Helper()
	store, err := bootenv.Open(filepath.Join(dir, "dev/vda2"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRollback(t *testing.T) {
	for _, c := range []struct {
		name         string
		state, after slot.State
		code         int
		said         string
	}{
		{"to the old slot", slot.State{Good: "a"}, slot.State{Good: "a", Try: "b", Tries: 2}, 0, "The next boot starts slot b on trial: if it does not pass its health checks in 2 boots, slot a is booted again\n"},
		{"from a trial", slot.State{Good: "b", Try: "a", Tries: 1}, slot.State{Good: "b", Bad: "a"}, 0, "The next boot starts slot b (active)\n"},
		{"to a bad slot", slot.State{Good: "a", Bad: "b"}, slot.State{Good: "a", Bad: "b"}, 1, "rolling back to slot b: the slot is bad"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := slotNode(t, c.state)
			got := call(t, dir, "", "rollback")
			if got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.said) {
				t.Errorf("got %+v, want %d, %q", got, c.code, c.said)
			}
			if diff := cmp.Diff(c.after, environment(t, dir)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestRollbackData: going back to a slot that may put an old datastore back wants --force,
// and says what it may cost. When a trial is given up, only the trial is lost.
func TestRollbackData(t *testing.T) {
	const data = "var/lib/rancher/k3s/"
	withData := func(s slot.State, record string) string {
		dir := slotNode(t, s)
		put(t, dir, layout.ImageKubernetes[1:], "v1.35.1+k3s1\n")
		put(t, dir, "oem/90.yaml", "k3s: {enabled: true}\n")
		put(t, dir, data+"server/db/etcd/member/snap/db", "etcd")
		put(t, dir, data+"kairos/record.json", record)
		put(t, dir, data+"kairos/copies/v1.34.1+k3s1/copy.json", `{"release": "v1.34.1+k3s1", "time": "2026-01-01T02:00:00Z", "etcd": "3.5"}`)
		return dir
	}
	const (
		upgraded = `{"release": "v1.35.1+k3s1", "highest": "v1.35.1+k3s1", "slots": {"a": "v1.35.1+k3s1", "b": "v1.34.1+k3s1"}}`
		patched  = `{"release": "v1.35.2+k3s1", "highest": "v1.35.2+k3s1", "slots": {"a": "v1.35.2+k3s1", "b": "v1.35.1+k3s1"}}`
		loss     = "f the Kubernetes in slot b cannot read the datastore, the copy of 2026-01-01T02:00:00Z is put back, which v1.34.1+k3s1 left: what the cluster was told since is lost to it"
	)
	good, back := slot.State{Good: "a"}, slot.State{Good: "a", Try: "b", Tries: 2}
	for _, c := range []struct {
		name         string
		state, after slot.State
		record, says string
		args         []string
		code         int
	}{
		{"without force", good, good, upgraded, "going back may lose data of the cluster: i" + loss + "; give --force to go back nevertheless", nil, 1},
		{"with force", good, back, upgraded, "I" + loss + "\n", []string{"--force"}, 0},
		{"the same minor version", good, back, patched, "", nil, 0},
		{"a trial is given up", slot.State{Good: "b", Try: "a"}, slot.State{Good: "b", Bad: "a"}, upgraded, "I" + loss + "\n", nil, 0},
		{"not known", good, good, "no", "going back may lose data of the cluster: whether is not known: ", nil, 1},
		{"not known, with force", good, back, "no", "asking what going back may cost", []string{"--force"}, 0},
	} {
		dir := withData(c.state, c.record)
		got := call(t, dir, "", append([]string{"rollback"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.stderr, c.says) || c.says == "" && got.stderr != "" {
			t.Errorf("%s: got %+v, want %d, %q", c.name, got, c.code, c.says)
		}
		if diff := cmp.Diff(c.after, environment(t, dir)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestRollbackAndReboot(t *testing.T) {
	dir := slotNode(t, slot.Initial())
	var saved slot.State
	n := node.Node{Restart: func(context.Context) error {
		saved = environment(t, dir)
		return errors.New("no systemd here")
	}}
	p := &program{node: n, stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	p.node.Root, p.node.Log = tree.Root{Dir: dir, KeepOwner: true}, slog.New(slog.DiscardHandler)
	if err := p.rollback(t.Context(), rollbackOptions{reboot: true, tries: rollbackTries}); err == nil || saved.Try != "b" {
		t.Errorf("error %v; at the reboot the state was %+v", err, saved)
	}
	if got := call(t, slotNode(t, slot.Initial()), "", "rollback", "--json"); got.code != 0 || !strings.HasPrefix(got.stdout, "{\n  \"next\": {\n    \"slot\": \"b\",") {
		t.Errorf("rollback --json: %+v", got)
	}
	if got := call(t, dir, "", "rollback", "--reboot"); got.code != 2 || !strings.Contains(got.stderr, "not with --root") {
		t.Errorf("got %+v", got)
	}
}

func TestBootentry(t *testing.T) {
	trying := slot.State{Good: "b", Try: "a", Tries: 1, Next: layout.ModePassive}
	for _, c := range []struct {
		name         string
		args         []string
		state, after slot.State
		code         int
		said         string
	}{
		{"show", nil, slot.State{Good: "a", BadRecovery: true}, slot.State{Good: "a", BadRecovery: true}, 0, `The next boot starts slot a (active)

SLOT      CONDITION  BOOTED  VERSION  DIGEST
a         good       yes     v2       sha256:02
b         old                v1
recovery  bad                unknown
`},
		{"show a trial", nil, trying, trying, 0, "a         trying, 1 boot left  yes     v2       sha256:02\n"},
		{"passive", []string{"--select", "passive"}, slot.Initial(), slot.State{Good: "a", Next: "passive"}, 0, "The next boot starts slot b (passive) once, and the one after it slot a\n"},
		{"recovery", []string{"--select=recovery"}, slot.Initial(), slot.State{Good: "a", Next: "recovery"}, 0, "The next boot starts recovery once, and the one after it slot a\n"},
		{"none", []string{"--select", "none"}, trying, slot.State{Good: "b", Try: "a", Tries: 1}, 0, "The next boot starts slot a on trial: if it does not pass its health checks in 1 boot, slot b is booted again\n"},
		{"show, five boots did not come up", nil, slot.State{Good: "a", Unproven: 5}, slot.State{Good: "a", Unproven: 5}, 0, "The next boot starts slot b (passive), because slot a did not come up in 5 boots\n"},
		{"bad", []string{"--select", "passive"}, slot.State{Good: "a", Bad: "b"}, slot.State{Good: "a", Bad: "b"}, 1, "selecting the passive slot b: the slot is bad"},
		{"unknown", []string{"--select", "b"}, slot.Initial(), slot.Initial(), 2, "want active, passive, recovery or none"},
		{"json", []string{"--json"}, slot.Initial(), slot.Initial(), 0, "{\n  \"next\": {\n    \"slot\": \"a\",\n    \"mode\": \"active\",\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := slotNode(t, c.state)
			got := call(t, dir, "", append([]string{"bootentry"}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.said) {
				t.Errorf("got %+v, want %d, %q", got, c.code, c.said)
			}
			if diff := cmp.Diff(c.after, environment(t, dir)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSlotsWithoutOurInitramfs(t *testing.T) {
	dir := newNode(t)
	for _, verb := range []string{"rollback", "bootentry"} {
		if got := call(t, dir, "", verb); got.code != 1 || !strings.Contains(got.stderr, "not started by the kairos initramfs") {
			t.Errorf("%s: %+v", verb, got)
		}
	}
}

func TestStatusShowsSlots(t *testing.T) {
	got := call(t, slotNode(t, slot.State{Good: "b", Try: "a"}), "", "status")
	for _, want := range []string{"next        the next boot starts slot b (passive), because slot a used up its tries\n", "trying, 0 boots left"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("status says\n%s\nwant %q", got.stdout, want)
		}
	}
}

// TestResultAlone: an error of the history goes to stderr, so that stdout has only the
// result.
func TestResultAlone(t *testing.T) {
	dir := slotNode(t, slot.State{Good: layout.SlotA})
	put(t, dir, "oem/.kairos", "a file in the way of the history")
	got := call(t, dir, "", "rollback")
	if got.code != 0 || strings.Contains(got.stdout, "level=") || !strings.Contains(got.stderr, "boot history") {
		t.Errorf("got %+v", got)
	}
}

// TestWithoutSlots: the status that the boot waits for opens no disk.
func TestWithoutSlots(t *testing.T) {
	root := tree.Root{Dir: slotNode(t, slot.Initial()), KeepOwner: true}
	if got := status.WithoutSlots(root); got.Next != nil || len(got.Slots) > 0 || got.Slot != "a" {
		t.Errorf("got %+v", got)
	}
	if got := status.Collect(root); got.Next == nil || len(got.Slots) != 3 {
		t.Errorf("got %+v", got)
	}
}

// TestRollbackIsRemembered: the history says to which slot the node rolled back.
func TestRollbackIsRemembered(t *testing.T) {
	for _, c := range []struct {
		name  string
		state slot.State
		want  layout.Slot
	}{
		{"to the old slot", slot.Initial(), "b"},
		{"from a trial", slot.State{Good: "b", Try: "a", Tries: 1}, "b"},
	} {
		dir := slotNode(t, c.state)
		if got := call(t, dir, "", "rollback"); got.code != 0 {
			t.Fatalf("%s: %+v", c.name, got)
		}
		entries, err := history.Read(filepath.Join(dir, history.Dir))
		if err != nil || len(entries) != 1 || entries[0].Kind != history.Rollback || entries[0].Slot != c.want || entries[0].Message == "" {
			t.Errorf("%s: %+v, %v", c.name, entries, err)
		}
	}
}
