// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// etcdOf writes the database of k3s' etcd as a version leaves it.
func etcdOf(t *testing.T, dir, version string) {
	t.Helper()
	path := filepath.Join(dir, "var/lib/rancher/k3s/server/db/etcd/member/snap/db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("cluster"))
		if err != nil {
			return err
		}
		return b.Put([]byte("clusterVersion"), []byte(version))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// datastoreHealth is the check of the datastore.
func datastoreHealth(t *testing.T, dir string) (message string) {
	t.Helper()
	n := &Node{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler), Probe: func(context.Context, config.Check) error { return nil }}
	r := n.Health(t.Context())
	last := r.Checks[len(r.Checks)-1]
	if last.Name != "datastore of Kubernetes" || last.Passed != (last.Message == "") {
		t.Errorf("got %+v", r)
	}
	return last.Message
}

// prepareDatastore applies the config, and does what runs before the service.
func prepareDatastore(t *testing.T, dir string) result {
	t.Helper()
	return prepareDatastoreOn(t, &Node{}, dir)
}

// prepareDatastoreOn is prepareDatastore on a node with a store of its slots.
func prepareDatastoreOn(t *testing.T, n *Node, dir string) result {
	t.Helper()
	if got := callOn(t, &Node{System: running{}}, dir, (*Node).Kubernetes); got.code != 0 {
		t.Errorf("applying the config: %+v", got)
	}
	return callOn(t, n, dir, (*Node).PrepareDatastore)
}

// TestDatastoreApplied: a config that is edited and not applied does not keep the service
// from its next automatic restart, nor point to other data.
func TestDatastoreApplied(t *testing.T) {
	dir := withK3s(t)
	if got := call(t, dir, (*Node).PrepareDatastore); got.code == 0 || !strings.Contains(got.stderr, "no role was started in this boot: type `systemctl restart kairos-kubernetes`") {
		t.Errorf("got %+v", got)
	}
	put(t, dir, layout.ImageKubernetesArguments[1:], "server --cluster-init switch\nserver --data-dir value\n")
	put(t, dir, "oem/90.yaml", "k3s: {enabled: true, args: [--data-dir=/srv/k3s]}\n")
	prepareDatastore(t, dir)
	record := filepath.Join(dir, "srv/k3s/kairos/record.json")
	for _, edited := range []string{"k3s: {enabled: true\n", "hostname: a\n", "k3s: {enabled: true, args: [--data-dir=/srv/other]}\n", "k3s: {enabled: true, args: [--unknown]}\n"} {
		put(t, dir, "oem/90.yaml", edited)
		if err := os.Remove(record); err != nil {
			t.Fatal(err)
		}
		got := call(t, dir, (*Node).PrepareDatastore)
		if _, err := os.Stat(record); err != nil || got.code != 0 || got.stdout+got.stderr != "" {
			t.Errorf("%s: %v, %+v", edited, err, got)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "srv/other")); err == nil {
		t.Error("the edited data directory was prepared")
	}
}

// TestDatastore: an upgrade that fails, and the way back. History and health say it.
func TestDatastore(t *testing.T) {
	dir := withK3s(t)
	put(t, dir, "oem/90.yaml", "k3s: {enabled: true, args: [--cluster-init]}\n")
	boot := func(version string, x layout.Slot, mode layout.Mode, s slot.State) result {
		t.Helper()
		putState(t, dir, x, mode)
		put(t, dir, layout.ImageKubernetes[1:], version+"\n")
		if err := os.RemoveAll(filepath.Join(dir, preparedFile)); err != nil {
			t.Fatal(err)
		}
		if got := datastoreHealth(t, dir); !strings.HasPrefix(got, "it is not ready yet; see `journalctl -b -u kairos-kubernetes-datastore.service`") {
			t.Errorf("before: %s", got)
		}
		got := prepareDatastoreOn(t, &Node{OpenStore: func(*thisboot.Boot) (Store, error) { return newEnv(t, s).open() }}, dir)
		if message := datastoreHealth(t, dir); (message == "") != (got.code == 0) {
			t.Errorf("%+v, and the check says %q", got, message)
		}
		return got
	}
	trial := slot.State{Good: "a", Try: "b", Tries: 2}
	boot("v1.34.1+k3s1", "a", layout.ModeActive, slot.State{Good: "a"})
	etcdOf(t, dir, "3.5.0")
	if got := boot("v1.35.1+k3s1", "b", layout.ModeActive, trial); !strings.Contains(got.stdout, "kairos: the datastore of v1.34.1+k3s1 is copied to ") {
		t.Errorf("got %+v", got)
	}
	etcdOf(t, dir, "3.6.0")
	for _, s := range []struct {
		slot  layout.Slot
		mode  layout.Mode
		state slot.State
		says  string
	}{
		{"recovery", layout.ModeRecovery, trial, "nothing is put back: this is recovery; start slot a, the good one"},
		{"a", layout.ModePassive, slot.State{Good: "b", Unproven: slot.MaxUnproven + 1}, "nothing is put back: slot a runs in the place of slot b, which did not come up; restart into slot b, or upgrade"},
		{"a", layout.ModePassive, slot.State{Good: "b"}, "nothing is put back: slot a runs, and slot b is the good one; restart into slot b, or go back"},
	} {
		if got := boot("v1.34.1+k3s1", s.slot, s.mode, s.state); got.code == 0 || !strings.Contains(got.stdout, s.says) {
			t.Errorf("got %+v, want %q", got, s.says)
		}
	}
	const lost = "the datastore is that of v1.34.1+k3s1 again, as it was at "
	if got := boot("v1.34.1+k3s1", "a", layout.ModePassive, slot.State{Good: "a", Try: "b"}); got.code != 0 || !strings.Contains(got.stdout, "kairos: "+lost) {
		t.Errorf("got %+v", got)
	}
	entries, err := history.Read(filepath.Join(dir, history.Dir))
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	if e := entries[len(entries)-1]; e.Kind != history.Datastore || e.Outcome != history.OK || !strings.HasPrefix(e.Message, lost) {
		t.Errorf("got %+v", e)
	}
}

// TestDatastoreFails: the check has the reason, so that a slot on trial is left.
func TestDatastoreFails(t *testing.T) {
	dir := withK3s(t)
	put(t, dir, "oem/90.yaml", "k3s: {enabled: true}\n")
	put(t, dir, "var/lib/rancher/k3s/kairos/record.json", "no\n")
	put(t, dir, "var/lib/rancher/k3s/server/db/state.db", "x")
	got := prepareDatastore(t, dir)
	if got.code == 0 || got.stderr != "" || !strings.Contains(got.stdout, "kairos: k3s.service is not started: the record of the datastore is damaged: reading ") {
		t.Errorf("got %+v", got)
	}
	if message := datastoreHealth(t, dir); !strings.Contains(message, "record.json: invalid character") || !strings.HasSuffix(message, ": it stays so until the next boot") {
		t.Errorf("the check says %q", message)
	}
}

// TestDatastoreElsewhere: an external datastore is left alone, and agents have none.
func TestDatastoreElsewhere(t *testing.T) {
	dir := withK3s(t)
	put(t, dir, layout.ImageKubernetesArguments[1:], "server --datastore-endpoint value\nagent --server value\n")
	put(t, dir, "oem/90.yaml", "k3s: {enabled: true, args: [--datastore-endpoint=mysql://a]}\n")
	if got := prepareDatastore(t, dir); got.code != 0 || !strings.Contains(got.stdout, "it is neither copied nor put back") || datastoreHealth(t, dir) != "" {
		t.Errorf("got %+v", got)
	}
	put(t, dir, "oem/90.yaml", "k3s-agent: {enabled: true, args: [--server=https://a]}\n")
	if got := prepareDatastore(t, dir); got.code != 0 || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "var/lib/rancher/k3s/kairos")); err == nil {
		t.Error("a record was written")
	}
}
