// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package engine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// build is a build in another process: this test binary, run again.
type build struct {
	State string
	Store string
	Base  digest.Digest
	Name  string
	Args  []string
	Image string // folder for an image of it; empty: none
}

const buildEnv = "KAIROS_ENGINE_TEST_BUILD"

// start runs the build and returns its output, line by line.
func (b build) start(t *testing.T) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	data, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBuildInThisProcess$", "-test.v")
	cmd.Env = append(os.Environ(), buildEnv+"="+string(data))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// TestBuildInThisProcess is the other process.
func TestBuildInThisProcess(t *testing.T) {
	data := os.Getenv(buildEnv)
	if data == "" {
		t.Skip("this is the body of other tests")
	}
	var b build
	if err := json.Unmarshal([]byte(data), &b); err != nil {
		t.Fatal(err)
	}
	store, err := Store(b.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{state: b.State, store: store, base: b.Base}
	e := open(t, Options{StateDir: b.State})
	r := w.request(t, w.step(b.Name, w.from(), b.Args...))
	if b.Image != "" {
		r = w.request(t, owned(w))
		r.Image = image(b.Image)
	}
	r.Progress = func(s *client.SolveStatus) {
		for _, l := range s.Logs {
			fmt.Printf("output: %s", l.Data)
		}
	}
	got, err := e.Solve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e)
	fmt.Println("solved", got.Digest)
}

// waitFor reads lines until one contains text.
func waitFor(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	var seen []string
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
		seen = append(seen, lines.Text())
	}
	t.Fatalf("never saw %q in:\n%s", text, strings.Join(seen, "\n"))
}

func otherWorld(t *testing.T) build {
	t.Helper()
	dir := t.TempDir()
	_, base := writeBase(t, buildStep(t), dir)
	return build{State: t.TempDir(), Store: dir, Base: base}
}

func TestKilledBuildLeavesNothing(t *testing.T) {
	b := otherWorld(t)
	b.Name, b.Args = "sleep", []string{"sleep", "100s"}
	cmd, lines := b.start(t)
	waitFor(t, lines, "sleeping")
	if left := leftovers(t, b.State); len(left) == 0 {
		t.Fatal("the search for leftovers does not see a running build")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	eventuallyClean(t, b.State, 12*time.Second)
	t.Logf("clean %s after the kill", time.Since(start))
	_ = cmd.Wait() // its status is the kill
}

func TestKilledEngineIsSweptByTheNext(t *testing.T) {
	b := otherWorld(t)
	b.Name, b.Args = "sleep", []string{"sleep", "100s"}
	cmd, lines := b.start(t)
	waitFor(t, lines, "sleeping")
	killChild(t, b.State)
	rest := ""
	for lines.Scan() {
		rest += lines.Text() + "\n"
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(rest, "the build engine ended in the middle of the build") {
		t.Errorf("got %v and:\n%s", err, rest)
	}
	b.Name, b.Args = "write", []string{"write", "/a", "b"}
	cmd, lines = b.start(t)
	waitFor(t, lines, "solved")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	eventuallyClean(t, b.State, time.Second)
}

func killChild(t *testing.T, state string) {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(lockHolder(state), &pid); err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

func TestTwoBuildsShareAnEngine(t *testing.T) {
	long := otherWorld(t)
	short := long
	short.Name, short.Args = "short", []string{"sleep", "1ms"}
	long.Name, long.Args = "long", []string{"sleep", "4s"}

	// The first build ends first: its end must not end the other's engine.
	first, firstLines := short.start(t)
	second, secondLines := long.start(t)
	waitFor(t, firstLines, "solved")
	if err := first.Wait(); err != nil {
		t.Errorf("first: %v", err)
	}
	waitFor(t, secondLines, "solved")
	if err := second.Wait(); err != nil {
		t.Errorf("second: %v", err)
	}
	eventuallyClean(t, long.State, 3*time.Second)
}

func TestKilledOwnerLeavesTheOtherBuildAlone(t *testing.T) {
	owner := otherWorld(t)
	guest := owner
	owner.Name, owner.Args = "owner", []string{"sleep", "100s"}
	guest.Name, guest.Args = "guest", []string{"sleep", "3s"}
	first, firstLines := owner.start(t)
	waitFor(t, firstLines, "sleeping")
	second, secondLines := guest.start(t)
	waitFor(t, secondLines, "sleeping")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // its status is the kill
	waitFor(t, secondLines, "solved")
	if err := second.Wait(); err != nil {
		t.Errorf("guest: %v", err)
	}
	eventuallyClean(t, owner.State, 5*time.Second)
}

func TestManyBuildsInTurnAndAtOnce(t *testing.T) {
	b := otherWorld(t)
	type running struct {
		cmd   *exec.Cmd
		lines *bufio.Scanner
	}
	var all []running
	for i := range 8 {
		b.Name, b.Args = fmt.Sprint("write ", i), []string{"write", "/n", fmt.Sprint(i)}
		cmd, lines := b.start(t)
		all = append(all, running{cmd, lines})
		time.Sleep(time.Duration(i) * 60 * time.Millisecond) // some meet an engine that is stopping
	}
	for i, r := range all {
		waitFor(t, r.lines, "solved")
		if err := r.cmd.Wait(); err != nil {
			t.Errorf("build %d: %v", i, err)
		}
	}
	eventuallyClean(t, b.State, 3*time.Second)
}
