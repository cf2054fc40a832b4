// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLeftoversOfAnInterruptedBuild: they are removed, whatever the folder's name.
func TestLeftoversOfAnInterruptedBuild(t *testing.T) {
	for _, name := range []string{"plain", "node[1]", "node[", "all*"} {
		dir := filepath.Join(t.TempDir(), name)
		left := filepath.Join(dir, stagePrefix+"123", imageName)
		if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o755), os.WriteFile(left, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		o, err := openOutputs(t.Context(), dir, t.TempDir(), func() {})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if exists(left) {
			t.Errorf("%s: %s is still there", name, left)
		}
		if err := o.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestASecondBuildWaits: it waits for the build that writes to the same folder, and
// reports that.
func TestASecondBuildWaits(t *testing.T) {
	limit, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	dir, state := t.TempDir(), t.TempDir()
	first, err := openOutputs(limit, dir, state, func() { t.Error("the first one waits") })
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan bool, 1)
	done := make(chan error)
	go func() {
		second, err := openOutputs(limit, dir, state, func() { waits <- true })
		if err == nil {
			err = second.close()
		}
		done <- err
	}()
	<-waits
	if !exists(first.stage) {
		t.Error("the second one removed what the first one makes")
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(limit)
	cancel()
	third, err := openOutputs(limit, dir, state, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openOutputs(ctx, dir, state, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v from a wait that was interrupted", err)
	}
	if err := third.close(); err != nil {
		t.Error(err)
	}
}

// TestPublishExchanges: the new folder replaces the old one in one step, so that there
// is one at any time.
func TestPublishExchanges(t *testing.T) {
	o, err := openOutputs(t.Context(), t.TempDir(), t.TempDir(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"old", "new"} {
		if err := errors.Join(os.RemoveAll(o.staged(imageName)), os.MkdirAll(filepath.Join(o.staged(imageName), version), 0o755), o.publish(imageName)); err != nil {
			t.Fatal(err)
		}
	}
	if !exists(filepath.Join(o.path(imageName), "new")) || !exists(filepath.Join(o.staged(imageName), "old")) {
		t.Error("the old folder was removed before the new one was there")
	}
	if err := o.close(); err != nil {
		t.Error(err)
	}
}
