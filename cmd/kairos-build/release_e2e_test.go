// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/testregistry"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/releaseflow"
)

// TestReleaseIsKilledAndGoesOn builds Debian 13, is killed in the next step as by a loss of
// power, and goes on: with -short it signs and pushes; otherwise it is killed while the image
// boots, boots it again, signs, pushes and promotes. What is pushed is what was built first.
func TestReleaseIsKilledAndGoesOn(t *testing.T) {
	s := newShop(t, testregistry.New(t.Context()))
	w := &world{t: t}
	t.Setenv("KAIROS_BUILD_STATE", "")
	if err := os.Unsetenv("KAIROS_BUILD_STATE"); err != nil { // the cache that all builds share
		t.Fatal(err)
	}
	args := s.args("v1.0.0", "--sign", s.key("ours"), "--json")
	folder, delay := s.path("out/debian-13-amd64-generic"), time.Duration(0)
	if testing.Short() {
		args = append(args, "--artifact", "image", "--test", "none", "--until", "push")
	} else {
		args, delay = append(args, "--artifact", "image,raw", "--test", "short", "--boot", "bios", "--machine", "bios", "--channel", "edge"), 8*time.Second
	}

	first := w.command(t.Context(), args...)
	first.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer
	first.Stderr = &log
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	for waiting := true; waiting; {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, &log)
		case <-time.After(20 * time.Millisecond):
			_, err := os.Stat(filepath.Join(folder, releaseflow.StateName))
			waiting = err != nil
		}
	}
	time.Sleep(delay)
	if err := syscall.Kill(-first.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("it came to its end before it was killed")
	}
	built, err := os.ReadFile(filepath.Join(folder, releaseflow.StateName))
	if err != nil {
		t.Fatal(err)
	}

	got := w.releaseAgain(args)
	if !strings.Contains(string(built), got.Digest) || !strings.HasPrefix(states(got), "build kept, ") {
		t.Errorf("it did not go on with what was built: %s, %s\n%s", got.Digest, states(got), built)
	}
	s.run(0, "verify", "--key", s.path("ours.pub"), got.Reference)
	if testing.Short() {
		return
	}
	if states(got) != "build kept, test done, sign done, push done, promote done" || got.Channels[0].Digest != got.Digest || !got.Test.Passed {
		t.Errorf("got %s, %+v", states(got), got)
	}
	start := time.Now()
	if again := w.releaseAgain(args); states(again) != "build kept, test kept, sign kept, push kept, promote kept" {
		t.Errorf("again: %s", states(again))
	}
	t.Logf("a run without a change took %s", time.Since(start))
}

// releaseAgain runs a release to its end, and returns its only image.
func (w *world) releaseAgain(args []string) releaseflow.ImageResult {
	w.t.Helper()
	cmd := w.command(w.t.Context(), args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("%v\n%s", err, &log)
	}
	var r releaseflow.Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		w.t.Fatal(err)
	}
	return r.Images[0]
}
