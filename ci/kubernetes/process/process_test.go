// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOrder(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	g := &Group{PIDs: filepath.Join(dir, "pids")}
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	start := func(file, wants string) {
		t.Helper()
		script := "sleep 0.3; test -z '" + wants + "' || test -e '" + wants + "' || exit 1; touch '" + file + "'; exec sleep 100"
		ready := func(context.Context) error {
			_, err := os.Stat(file)
			return err
		}
		if err := g.Start(ctx, Program{Name: filepath.Base(file), Path: "/bin/sh", Args: []string{"-c", script}, Ready: ready}); err != nil {
			t.Fatal(err)
		}
	}
	start(first, "")
	if _, err := os.Stat(first); err != nil {
		t.Error("Start returned before the program was ready")
	}
	start(second, first)
	if _, err := os.Stat(filepath.Join(g.PIDs, "second.pid")); err != nil {
		t.Error(err)
	}
	cancel()
	g.Stop()
	if _, err := os.Stat(filepath.Join(g.PIDs, "second.pid")); err == nil {
		t.Error("a stopped program has a pid file")
	}
}

func TestEnd(t *testing.T) {
	g := &Group{}
	never := func(context.Context) error { return errors.New("not ready") }
	err := g.Start(t.Context(), Program{Name: "etcd", Path: "/bin/sh", Args: []string{"-c", "exit 3"}, Ready: never})
	if err == nil || !strings.Contains(err.Error(), "etcd ended: exit status 3") {
		t.Errorf("got %v", err)
	}
}
