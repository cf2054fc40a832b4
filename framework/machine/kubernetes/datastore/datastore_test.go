// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

func version(t testing.TB, text string) release.Version {
	t.Helper()
	v, err := release.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A node is a data directory whose service writes files.
type node struct {
	Store
	t     testing.TB
	hours int // of the clock
}

func newNode(t testing.TB, d release.Distribution) *node {
	n := &node{t: t}
	n.Store = Store{Dir: filepath.Join(t.TempDir(), "data"), Distribution: d, Free: func(string) (int64, error) { return 1 << 40, nil }}
	n.Now = func() time.Time { return time.Date(2026, 1, 1, n.hours, 0, 0, 0, time.UTC) }
	return n
}

func (n *node) put(name, text string) {
	n.t.Helper()
	path := filepath.Join(n.Dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		n.t.Fatal(err)
	}
}

// etcd writes the database of etcd as a release leaves it. An empty version is one that
// is not determined yet.
func (n *node) etcd(version, content string, members int) {
	n.t.Helper()
	path := n.etcdDB(n.Dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		n.t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		list, err1 := tx.CreateBucketIfNotExists([]byte("members"))
		cluster, err2 := tx.CreateBucketIfNotExists([]byte("cluster"))
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		for i := range members {
			if err := list.Put(fmt.Append(nil, i), []byte("{}")); err != nil {
				return err
			}
		}
		if version == "" {
			return nil
		}
		return cluster.Put([]byte("clusterVersion"), []byte(version))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		n.t.Fatal(err)
	}
	n.put(filepath.Join(strings.TrimPrefix(filepath.Dir(filepath.Dir(path)), n.Dir), "wal/0.wal"), content)
}

// read returns the content of the datastore, or of what was copied or set aside.
func (n *node) read(name string) string {
	data, err := os.ReadFile(filepath.Join(n.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "nothing"
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return string(data)
}

// start prepares a release, an hour after the last one.
func (n *node) start(v string) Change {
	n.t.Helper()
	n.hours++
	c, err := n.Prepare(version(n.t, v))
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *node) copies() (names []string) {
	n.t.Helper()
	all, err := n.Copies()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, c := range all {
		names = append(names, c.Release)
	}
	return names
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

const wal = "server/db/etcd/member/wal/0.wal"

// TestUpgrade: a copy is made before another minor version starts, and at no other time.
func TestUpgrade(t *testing.T) {
	n := newNode(t, release.K3s)
	same(t, "the first start", n.start("v1.33.1+k3s1"), Change{})
	n.put("server/db/state.db", "33")
	n.put("server/db/state.db-wal", "more")
	n.put("server/db/snapshots/old", "snapshot")
	n.put("server/token", "K10")
	n.put("server/tls/ca.crt", "certificate")
	same(t, "the same release", n.start("v1.33.1+k3s1"), Change{})
	same(t, "a patch", n.start("v1.33.2+k3s1"), Change{})
	got := n.start("v1.34.1+k3s1").Copied
	same(t, "the copy", got, &Copy{Release: "v1.33.2+k3s1", Number: 1, Time: time.Date(2026, 1, 1, 4, 0, 0, 0, time.UTC), Bytes: 9, Path: filepath.Join(n.Dir, "kairos/copies/v1.33.2+k3s1"), Parts: []string{"server/db", "server/token"}})
	for name, want := range map[string]string{"server/db/state.db": "33", "server/db/state.db-wal": "more", "server/token": "K10", "server/db/snapshots/old": "nothing", "server/tls/ca.crt": "nothing"} {
		same(t, name+" in the copy", n.read("kairos/copies/v1.33.2+k3s1/data/"+name), want)
		if want != "nothing" {
			same(t, name, n.read(name), want)
		}
	}
	same(t, "the second boot of the trial", n.start("v1.34.1+k3s1"), Change{})
	n.start("v1.35.1+k3s1")
	n.start("v1.36.1+k3s1")
	same(t, "copies", n.copies(), []string{"v1.35.1+k3s1", "v1.34.1+k3s1"})
	if info, err := os.Stat(filepath.Join(n.Dir, "kairos")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestBackSQLite: the release before reads what the newer one left.
func TestBackSQLite(t *testing.T) {
	n := newNode(t, release.K0s)
	n.start("v1.34.1+k0s.0")
	n.put("db/state.db", "34")
	n.start("v1.35.1+k0s.0")
	n.put("db/state.db", "35")
	same(t, "going back", n.start("v1.34.1+k0s.0"), Change{Notes: []string{"v1.34.1+k0s.0 starts with the datastore that v1.35.1+k0s.0 left: nothing is put back, and nothing is lost"}})
	same(t, "the datastore", n.read("db/state.db"), "35")
	same(t, "the next boot", n.start("v1.34.1+k0s.0"), Change{})
	n.put("db/state.db", "34 again")
	n.start("v1.35.2+k0s.0")
	same(t, "the next copy", n.read("kairos/copies/v1.34.1+k0s.0/data/db/state.db"), "34 again")
}

// upgraded is a node with k3s and etcd whose upgrade has failed.
func upgraded(t testing.TB, members int, after string) *node {
	n := newNode(t, release.K3s)
	n.start("v1.34.1+k3s1")
	n.etcd("3.5.0", "34", members)
	n.put("server/token", "K10")
	n.start("v1.35.1+k3s1")
	n.etcd(after, "35", members)
	n.put("server/db/snapshots/new", "snapshot")
	return n
}

// TestBackEtcd: what etcd refuses is replaced, and kept aside.
func TestBackEtcd(t *testing.T) {
	n := upgraded(t, 1, "3.6.0")
	got := n.start("v1.34.1+k3s1").Restored
	want := &Restored{
		Release: "v1.34.1+k3s1", From: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC), Until: time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC), Left: "v1.35.1+k3s1",
		Aside: filepath.Join(n.Dir, "kairos/aside/v1.35.1+k3s1"), Why: "v1.34.1+k3s1 cannot read what v1.35.1+k3s1 left (etcd 3.6, before it was 3.5)",
	}
	same(t, "the restore", got, want)
	same(t, "its sentence", got.String(), "the datastore is that of v1.34.1+k3s1 again, as it was at 2026-01-01T02:00:00Z: v1.34.1+k3s1 cannot read what v1.35.1+k3s1 left (etcd 3.6, before it was 3.5). What was written until 2026-01-01T03:00:00Z is lost to the cluster; it is kept in "+want.Aside+" until the next restore, or until a copy needs its room")
	n.isBack()
	last, err := n.Last()
	same(t, "the last restore", last, want)
	same(t, "its error", err, error(nil))
	same(t, "the next boot", n.start("v1.34.1+k3s1"), Change{})
	n.start("v1.35.1+k3s1")
	same(t, "aside after the next copy", n.read("kairos/aside/v1.35.1+k3s1/"+wal), "35")
	same(t, "copies", n.copies(), []string{"v1.34.1+k3s1"})
}

// isBack checks a node after a restore.
func (n *node) isBack() {
	n.t.Helper()
	e, err := readEtcd(n.etcdDB(n.Dir))
	if err != nil || e.String() != "3.5" {
		n.t.Errorf("etcd %s, %v", e, err)
	}
	for name, want := range map[string]string{wal: "34", "server/token": "K10", "server/db/snapshots/new": "snapshot", "kairos/aside/v1.35.1+k3s1/" + wal: "35", "kairos/restore.json": "nothing"} {
		if got := n.read(name); got != want {
			n.t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(n.Dir, "kairos")); err != nil || len(entries) != 4 { // aside, copies, record.json, restored.json
		n.t.Errorf("%v, %v", entries, err)
	}
}

// TestBackNotNeeded: etcd that has not gone on is left alone, whatever ran.
func TestBackNotNeeded(t *testing.T) {
	for _, after := range []string{"3.5.0", "3.4.0"} {
		n := upgraded(t, 3, after)
		if c := n.start("v1.34.2+k3s1"); c.Restored != nil || len(c.Notes) != 1 || n.read(wal) != "35" {
			t.Errorf("after %s: %+v, %s", after, c, n.read(wal))
		}
	}
}

// TestBackLater: after a power cut, etcd may find the higher version in its log only when
// it starts. The next start puts the copy back.
func TestBackLater(t *testing.T) {
	n := upgraded(t, 1, "3.5.0")
	if c := n.start("v1.34.1+k3s1"); c.Restored != nil {
		t.Fatalf("got %+v", c)
	}
	n.etcd("3.6.0", "35", 1)
	if c := n.start("v1.34.1+k3s1"); c.Restored == nil || n.read(wal) != "34" {
		t.Errorf("got %+v", c)
	}
}

// TestBackWithoutCopy: no copy of this minor version says which etcd it has.
func TestBackWithoutCopy(t *testing.T) {
	n := newNode(t, release.K3s)
	n.start("v1.35.1+k3s1")
	n.etcd("3.6.0", "35", 1)
	if c := n.start("v1.34.1+k3s1"); c.Restored != nil || n.read(wal) != "35" {
		t.Errorf("got %+v", c)
	}
}

// TestBackDamaged: what is no database any more is replaced, too.
func TestBackDamaged(t *testing.T) {
	n := upgraded(t, 1, "3.5.0")
	if err := os.WriteFile(n.etcdDB(n.Dir), make([]byte, 16384), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := n.start("v1.34.1+k3s1"); c.Restored == nil || !strings.Contains(c.Restored.Why, "the database of etcd is damaged") || n.read(wal) != "34" {
		t.Errorf("got %+v", c)
	}
}

// TestBackCutShort: so is a database whose end is missing, or all of it.
func TestBackCutShort(t *testing.T) {
	for _, size := range []int64{0, 4096, 8192} {
		n := upgraded(t, 1, "3.5.0")
		if err := os.Truncate(n.etcdDB(n.Dir), size); err != nil {
			t.Fatal(err)
		}
		if c := n.start("v1.34.1+k3s1"); c.Restored == nil || !strings.Contains(c.Restored.Why, "the database of etcd is damaged") || n.read(wal) != "34" {
			t.Errorf("cut to %d bytes: got %+v", size, c)
		}
	}
}

// TestMembers: the other members have gone on.
func TestMembers(t *testing.T) {
	n := upgraded(t, 3, "3.6.0")
	_, err := n.Prepare(version(t, "v1.34.1+k3s1"))
	if !errors.Is(err, ErrMembers) || !strings.Contains(err.Error(), "v1.34.1+k3s1 cannot read what v1.35.1+k3s1 left (etcd 3.6, before it was 3.5), and etcd has other members, which have gone on: nothing is put back; start the newer image again, or remove this member on another server, delete "+filepath.Join(n.Dir, "server/db/etcd")+" here, and join anew") {
		t.Errorf("got %v", err)
	}
	if n.read(wal) != "35" {
		t.Error("the datastore changed")
	}
	same(t, "the newer image again", n.start("v1.35.1+k3s1"), Change{})
}

// TestRunning: etcd must be stopped.
func TestRunning(t *testing.T) {
	n := upgraded(t, 1, "3.6.0")
	db, err := bbolt.Open(n.etcdDB(n.Dir), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := n.Prepare(version(t, "v1.34.1+k3s1")); err == nil || !strings.Contains(err.Error(), "etcd runs, and must be stopped") {
		t.Errorf("got %v", err)
	}
}

// TestCrash: k0s has crashed and left its etcd running. It started with these data before,
// so it starts again.
func TestCrash(t *testing.T) {
	n := upgraded(t, 1, "3.5.0")
	n.start("v1.34.1+k3s1")
	db, err := bbolt.Open(n.etcdDB(n.Dir), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	same(t, "the start after a crash", n.start("v1.34.1+k3s1"), Change{})
}

// TestNoRoom: without room for a copy, nothing is started and nothing is left behind.
func TestNoRoom(t *testing.T) {
	n := newNode(t, release.K3s)
	n.start("v1.34.1+k3s1")
	n.put("server/db/state.db", strings.Repeat("x", 3<<20))
	n.Free = func(string) (int64, error) { return 65 << 20, nil }
	_, err := n.Prepare(version(t, "v1.35.1+k3s1"))
	want := "there is no room for a copy of the datastore of v1.34.1+k3s1: " + filepath.Join(n.Dir, "kairos/copies") + " needs 68 MiB and has 65 MiB free; k3s is not started without a copy: make room there and restart the node"
	if !errors.Is(err, ErrSpace) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	n.Free = func(string) (int64, error) { return 1 << 40, nil }
	n.Before = func(step string) error {
		if step == "name the copy" {
			return unix.ENOSPC
		}
		return nil
	}
	if _, err := n.Prepare(version(t, "v1.35.1+k3s1")); !errors.Is(err, ErrSpace) {
		t.Errorf("full while it is written: %v", err)
	}
	if len(n.copies()) > 0 || n.read("kairos/.unfinished/data/server/db/state.db") != "nothing" {
		t.Errorf("left behind: %q", n.copies())
	}
	n.Before = nil
	if n.start("v1.35.1+k3s1").Copied == nil {
		t.Error("with room there is no copy")
	}
}

// TestUnknown: a datastore of an unknown release is not copied, and that is said.
func TestUnknown(t *testing.T) {
	n := newNode(t, release.K3s)
	n.put("server/db/state.db", "x")
	if c := n.start("v1.34.1+k3s1"); c.Copied != nil || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "which release it is of is not recorded") {
		t.Errorf("got %+v", c)
	}
	n.put("kairos/record.json", "{}")
	if _, err := n.Prepare(version(t, "v1.34.1+k3s1")); err == nil || !strings.Contains(err.Error(), "the record of the datastore is damaged: ") || !strings.Contains(err.Error(), "; delete it: then ") {
		t.Errorf("a damaged record: %v", err)
	}
}

var errCut = errors.New("the power was cut")

// cut makes Prepare end before its step number n, and returns how many there were.
func (n *node) cut(at int, v string) (steps int, err error) {
	n.Before = func(string) error {
		if steps++; steps > at {
			return errCut
		}
		return nil
	}
	defer func() { n.Before = nil }()
	_, err = n.Prepare(version(n.t, v))
	return steps, err
}

// TestCutCopy: after a cut at any step there is no copy, or a whole one, and the next
// boot makes it.
func TestCutCopy(t *testing.T) {
	for at := 0; ; at++ {
		n := newNode(t, release.K3s)
		n.start("v1.34.1+k3s1")
		n.etcd("3.5.0", "34", 1)
		n.start("v1.35.1+k3s1")
		n.start("v1.34.1+k3s1") // a second copy of this name is made now
		n.put(wal, "34 again")
		_, err := n.cut(at, "v1.35.1+k3s1")
		if err == nil {
			if at < 6 {
				t.Errorf("there were %d steps", at)
			}
			return
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		for _, name := range n.copies() {
			if got := n.read("kairos/copies/" + name + "/data/" + wal); got != "34" && got != "34 again" {
				t.Errorf("cut before step %d: a copy holds %q", at, got)
			}
		}
		n.start("v1.35.1+k3s1")
		if got := n.read("kairos/copies/v1.34.1+k3s1/data/" + wal); got != "34 again" || n.read(wal) != "34 again" {
			t.Errorf("cut before step %d: the copy holds %q", at, got)
		}
	}
}

// TestCutRestore: after a cut at any step, nothing is lost, and the next boot ends the
// restore, of whichever image it is.
func TestCutRestore(t *testing.T) {
	for _, next := range []string{"v1.34.1+k3s1", "v1.35.1+k3s1"} {
		for at := 0; ; at++ {
			n := upgraded(t, 1, "3.6.0")
			_, err := n.cut(at, "v1.34.1+k3s1")
			if err == nil {
				if at < 10 {
					t.Errorf("there were %d steps", at)
				}
				break
			}
			if !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			held := n.read(wal) + n.read("kairos/copies/v1.34.1+k3s1/data/"+wal) + n.read("kairos/aside/v1.35.1+k3s1/"+wal)
			if !strings.Contains(held, "34") || !strings.Contains(held, "35") {
				t.Errorf("cut before step %d: there is %q", at, held)
			}
			n.start(next)
			if next == "v1.34.1+k3s1" {
				n.isBack()
			}
			n.start("v1.34.1+k3s1")
			if got := n.read(wal); got != "34" {
				t.Errorf("cut before step %d, then %s: the datastore is %q", at, next, got)
			}
		}
	}
}
