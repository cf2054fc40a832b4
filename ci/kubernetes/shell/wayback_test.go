// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
)

// TestRealWayBack: the agent copies the datastore of the real etcd before another minor
// version starts, and puts it back for the version of before, whose etcd refuses what the
// newer one left.
func TestRealWayBack(t *testing.T) {
	needsReal(t)
	m := newMachine(t, older.Version)
	agent := m.agent(t)
	write(t, filepath.Join(m.root, "oem/90.yaml"), "k3s: {enabled: true}\n")
	boot := func(release bundle.Release, want string) {
		t.Helper()
		m.install(t, release)
		write(t, filepath.Join(m.root, "usr/lib/kairos/kubernetes"), release.Version+"\n")
		out, err := exec.CommandContext(t.Context(), agent, "kubernetes", "--datastore", "--root", m.root).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) || want == "" && len(out) > 0 {
			t.Fatalf("before %s the agent ends with %v and says %q, want %q", release.Version, err, out, want)
		}
	}
	create := func(name string) {
		t.Helper()
		wait(t, m, "created", "kubectl", "create", "configmap", name)
	}
	boot(older, "")
	stop := m.start(t, m.systemd(t), realEtcd...)
	create("kept")
	time.Sleep(8 * time.Second) // etcd determines the version of its data a moment after its start
	stop()

	boot(newer, "the datastore of "+older.Version+" is copied to ")
	stop = m.start(t, m.systemd(t), realEtcd...)
	check(t, m, 0, "kept", "kubectl", "get", "configmap", "kept")
	create("lost")
	time.Sleep(8 * time.Second)
	stop()

	m.install(t, older)
	check(t, m, 1, "invalid downgrade", realEtcd...)
	boot(older, "the datastore is that of "+older.Version+" again, as it was at ")
	stop = m.start(t, m.systemd(t), realEtcd...)
	check(t, m, 0, "kept", "kubectl", "get", "configmap", "kept")
	check(t, m, 1, "not found", "kubectl", "get", "configmap", "lost")
	create("later")
	stop()

	boot(newer, "the datastore of "+older.Version+" is copied to ")
	stop = m.start(t, m.systemd(t), realEtcd...)
	check(t, m, 0, "later", "kubectl", "get", "configmap", "later")
	stop()
}

// TestRealWayBackSQLite: the version of before reads what the newer one left.
func TestRealWayBackSQLite(t *testing.T) {
	needsReal(t)
	m := newMachine(t, older.Version)
	agent := m.agent(t)
	write(t, filepath.Join(m.root, "oem/90.yaml"), "k3s: {enabled: true}\n")
	for _, b := range []struct {
		release bundle.Release
		says    string
	}{{older, ""}, {newer, "is copied to"}, {older, "nothing is put back, and nothing is lost"}} {
		m.install(t, b.release)
		write(t, filepath.Join(m.root, "usr/lib/kairos/kubernetes"), b.release.Version+"\n")
		out, err := exec.CommandContext(t.Context(), agent, "kubernetes", "--datastore", "--root", m.root).CombinedOutput()
		if err != nil || !strings.Contains(string(out), b.says) {
			t.Fatalf("before %s the agent ends with %v and says %q, want %q", b.release.Version, err, out, b.says)
		}
		stop := m.start(t, m.systemd(t), realArgs...)
		if b.says == "" {
			wait(t, m, "created", "kubectl", "create", "configmap", "first")
		}
		check(t, m, 0, "first", "kubectl", "get", "configmap", "first")
		if b.release.Version == newer.Version {
			wait(t, m, "created", "kubectl", "create", "configmap", "second")
		}
		if b.says != "" {
			check(t, m, 0, "second", "kubectl", "get", "configmap", "second")
		}
		stop()
	}
}

// agent builds the agent of a node.
func (m *machine) agent(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kairos-agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./framework/agent")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v\n%s", err, out)
	}
	return path
}
