// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
)

var (
	realArgs = []string{"server", "--disable-agent", "--node-ip=127.0.0.1", "--node-name=node", "--token=secret", "--kube-apiserver-arg=endpoint-reconciler-type=none"}
	realEtcd = append(realArgs, "--cluster-init")
	older    = bundle.Release{Version: "v1.35.1+k3s1", Etcd: "3.5.20"}
	newer    = bundle.Release{Version: "v1.36.3+k3s1", Etcd: "3.6.13"}
)

func needsReal(t *testing.T) {
	t.Helper()
	if os.Getenv(realPrograms) == "" {
		t.Skip(realPrograms + " is not set: type make kubernetes")
	}
}

// TestRealEtcd runs the real etcd and API server, without a node: another minor, the
// refusal to go back, the restored snapshot.
func TestRealEtcd(t *testing.T) {
	needsReal(t)
	m := newMachine(t, older.Version)
	m.install(t, older)
	stop := m.start(t, m.systemd(t), realEtcd...)
	check(t, m, 0, `"gitVersion": "v1.35.1+k3s1"`, "kubectl", "get", "--raw", "/version")
	wait(t, m, "created", "kubectl", "create", "configmap", "kept")
	check(t, m, 0, "saved", "etcd-snapshot", "save", "--name", "v1.35.1", "--node-name", "node")
	check(t, m, 0, "created", "kubectl", "create", "configmap", "lost")
	stop()

	m.install(t, newer)
	stop = m.start(t, m.systemd(t), realEtcd...)
	check(t, m, 0, `"gitVersion": "v1.36.3+k3s1"`, "kubectl", "get", "--raw", "/version")
	time.Sleep(8 * time.Second) // etcd raises the version of its data a moment after its start
	stop()

	m.install(t, older)
	check(t, m, 1, "invalid downgrade", realEtcd...)
	snapshots, err := filepath.Glob(filepath.Join(m.root, "var/lib/rancher/k3s/server/db/snapshots/v1.35.1-node-*"))
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("snapshots are %v, %v", snapshots, err)
	}
	check(t, m, 0, "has been reset", append(realEtcd, "--cluster-reset", "--cluster-reset-restore-path="+strings.TrimPrefix(snapshots[0], m.root))...)
	stop = m.start(t, m.systemd(t), realEtcd...)
	defer stop()
	check(t, m, 0, "kept", "kubectl", "get", "configmap", "kept")
	check(t, m, 1, "not found", "kubectl", "get", "configmap", "lost")
}

// TestRealSQLite runs the real kine and API server, and starts them again.
func TestRealSQLite(t *testing.T) {
	needsReal(t)
	m := newMachine(t, newer.Version)
	stop := m.start(t, m.systemd(t), realArgs...)
	wait(t, m, "created", "kubectl", "create", "configmap", "kept")
	stop()
	stop = m.start(t, m.systemd(t), realArgs...)
	defer stop()
	check(t, m, 0, "kept", "kubectl", "get", "configmap", "kept")
}

// TestRealK0s runs the real etcd and API server of a k0s controller without workloads.
func TestRealK0s(t *testing.T) {
	needsReal(t)
	m := newMachine(t, "v1.36.3+k0s.0")
	write(t, filepath.Join(m.root, "etc/k0s/k0s.yaml"), "kind: ClusterConfig\nspec: {api: {address: 127.0.0.1, extraArgs: {endpoint-reconciler-type: none}}}\n")
	answers := func(context.Context) error {
		if out, _ := m.run(t, "kubectl", "get", "--raw", "/readyz"); out != "ok" {
			return errors.New(out)
		}
		return nil
	}
	defer m.start(t, answers, "controller")()
	check(t, m, 0, `"gitVersion": "v1.36.3+k0s.0"`, "kubectl", "get", "--raw", "/version")
	wait(t, m, "H4sI", "token", "create", "--role", "worker")
	check(t, m, 0, "bootstrap-token-", "kubectl", "get", "secrets", "--namespace", "kube-system")
}
