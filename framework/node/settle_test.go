// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv/bootenvtest"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/rootfs"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// An env is the boot environment on an EFI partition whose medium can be made to fail.
type env struct {
	t                 *testing.T
	partition         string
	loadErr, writeErr error
	writes            int    // that changed something
	busy              int    // writes that are refused before one succeeds
	onLoad            func() // called before each Load
}

func newEnv(t *testing.T, s slot.State) *env {
	t.Helper()
	return &env{t: t, partition: bootenvtest.Partition(t, s)}
}

// state returns the state on the medium.
func (e *env) state() slot.State {
	e.t.Helper()
	s, err := bootenvtest.Open(e.t, e.partition).Load()
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

// set changes the state, as GRUB or another program would.
func (e *env) set(s slot.State) {
	e.t.Helper()
	if err := bootenvtest.Open(e.t, e.partition).Save(s); err != nil {
		e.t.Fatal(err)
	}
}

// boot lets GRUB boot once.
func (e *env) boot() slot.Choice {
	e.t.Helper()
	return bootenvtest.Boot(e.t, e.partition)
}

func (e *env) open() (Store, error) {
	s, err := bootenv.Open(e.partition)
	return &openEnv{s, e}, err
}

type openEnv struct {
	*bootenv.Store
	env *env
}

func (o *openEnv) Load() (slot.State, error) {
	if o.env.onLoad != nil {
		o.env.onLoad()
	}
	s, err := o.Store.Load()
	return s, errors.Join(err, o.env.loadErr)
}

func (o *openEnv) Update(change func(slot.State) (slot.State, error)) (slot.State, error) {
	before := o.env.state()
	if o.env.busy--; o.env.busy >= 0 {
		return before, errors.New("held by another program")
	}
	if o.env.writeErr != nil {
		return before, o.env.writeErr
	}
	after, err := o.Store.Update(change)
	if after != before {
		o.env.writes++
	}
	return after, err
}

// machine is a node that was booted.
type machine struct {
	*Node
	out      *bytes.Buffer
	env      *env
	restarts int
	probe    error // of every check
}

// newMachine returns a node that booted x as mode, with the boot environment s.
func newMachine(t *testing.T, x layout.Slot, mode layout.Mode, s slot.State) *machine {
	t.Helper()
	dir := newNode(t)
	state := thisboot.Boot{Slot: x, Mode: mode, Partitions: []thisboot.Partition{{Number: 2, Name: layout.PartEFI, Device: "/dev/esp"}}}
	if err := state.Write(filepath.Join(dir, layout.StateFile)); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "proc/sys/kernel/random/boot_id", "boot-"+string(x)+"\n")
	m := &machine{out: new(bytes.Buffer), env: newEnv(t, s)}
	m.Node = &Node{
		Root: tree.Root{Dir: dir, KeepOwner: true}, Stdout: m.out, Stderr: m.out, Log: slog.New(slog.DiscardHandler),
		OpenStore: func(booted *thisboot.Boot) (Store, error) {
			if esp, _ := booted.Partition(layout.PartEFI); esp.Device != "/dev/esp" {
				t.Errorf("opened %+v", esp)
			}
			return m.env.open()
		},
		Probe:   func(context.Context, config.Check) error { return m.probe },
		Restart: func(context.Context) error { m.restarts++; return nil },
	}
	return m
}

func (m *machine) do(ctx context.Context, do doing) int { return end(do(m.Node, ctx), m.out) }

func (m *machine) history(t *testing.T) (kinds []string) {
	t.Helper()
	entries, err := history.Read(filepath.Join(m.Root.Dir, history.Dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Time.IsZero() || e.BootID == "" {
			t.Errorf("entry without time or boot: %+v", e)
		}
		kinds = append(kinds, string(e.Kind)+" "+string(e.Slot)+" "+string(e.Outcome))
	}
	return kinds
}

func TestSettle(t *testing.T) {
	down := errors.New("down")
	for _, c := range []struct {
		name     string
		slot     layout.Slot
		mode     layout.Mode
		state    slot.State
		probe    error
		want     slot.State
		restarts int
		writes   int
		history  []string
		says     string
	}{
		{"usual boot", "a", "active", slot.State{Good: "a"}, nil, slot.State{Good: "a"}, 0, 0, []string{"boot a ok"}, ""},
		{"usual boot, counted", "a", "active", slot.State{Good: "a", Unproven: 1}, nil, slot.State{Good: "a"}, 0, 1, []string{"boot a ok"}, ""},
		{"usual boot, counted, not healthy", "a", "active", slot.State{Good: "a", Unproven: 5}, down, slot.State{Good: "a"}, 0, 1, []string{"boot a ok"}, ""},
		{"in the place of the good slot", "b", "passive", slot.State{Good: "a", Unproven: 6}, nil, slot.State{Good: "a"}, 0, 1,
			[]string{"fallback a failed", "boot b ok"}, "kairos: slot a, the good one, did not come up in 5 boots in a row: "},
		{"usual boot, not healthy", "a", "active", slot.State{Good: "a"}, down, slot.State{Good: "a"}, 0, 0, []string{"boot a ok"}, ""},
		{"trial passed", "b", "active", slot.State{Good: "a", Try: "b", Tries: 2}, nil, slot.State{Good: "b"}, 0, 1,
			[]string{"boot b ok", "good b ok"}, "kairos: slot b is good\n"},
		{"trial failed", "b", "active", slot.State{Good: "a", Try: "b", Tries: 2}, down, slot.State{Good: "a", Try: "b", Tries: 2}, 1, 0,
			[]string{"boot b ok", "trial-failed b failed"}, "kairos: restarting; boots left to slot b: 2\n"},
		{"fallback", "a", "passive", slot.State{Good: "a", Try: "b"}, nil, slot.State{Good: "a", Bad: "b"}, 0, 1,
			[]string{"fallback b failed", "boot a ok"}, "kairos: the upgrade to slot b failed: it did not load, or"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t, c.slot, c.mode, c.state)
				m.probe = c.probe
				if code := m.do(t.Context(), (*Node).Settle); code != 0 {
					t.Errorf("status %d: %s", code, m.out)
				}
				if m.env.state() != c.want || m.env.writes != c.writes || m.restarts != c.restarts {
					t.Errorf("state %+v after %d writes, %d restarts", m.env.state(), m.env.writes, m.restarts)
				}
				if diff := cmp.Diff(c.history, m.history(t)); diff != "" {
					t.Errorf("history (-want +got):\n%s", diff)
				}
				if got := m.out.String(); !strings.Contains(got, c.says) {
					t.Errorf("says %q, want %q", got, c.says)
				}
				if r, err := health.Read(m.Root); err != nil || r.OK != (c.probe == nil) {
					t.Errorf("result %+v, %v", r, err)
				}
				_, err := os.Stat(filepath.Join(m.Root.Dir, settle.FailureFile))
				if (err == nil) != (c.history[0] == "fallback b failed" || c.history[0] == "fallback a failed") {
					t.Errorf("%s: %v", settle.FailureFile, err)
				}
			})
		})
	}
}

// TestLife: a node that boots and comes up, again and again, stays in its good slot.
// GRUB's part is slot.State.Boot, written as GRUB writes it.
func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, "a", "active", slot.Initial())
		for boot := range 20 {
			if got, want := m.env.boot(), (slot.Choice{Slot: "a", Mode: "active"}); got != want {
				t.Fatalf("boot %d: %+v, want %+v", boot+1, got, want)
			}
			if code := m.do(t.Context(), (*Node).Settle); code != 0 {
				t.Fatalf("boot %d: status %d: %s", boot+1, code, m.out)
			}
			if got := m.env.state(); got != slot.Initial() {
				t.Fatalf("boot %d: state %+v", boot+1, got)
			}
		}
	})
}

// TestSettleTwice: the history has one entry for a boot, even if settle runs twice.
func TestSettleTwice(t *testing.T) {
	m := newMachine(t, "a", "active", slot.Initial())
	m.do(t.Context(), (*Node).Settle)
	m.do(t.Context(), (*Node).Settle)
	if got := m.history(t); len(got) != 1 {
		t.Errorf("history %q", got)
	}
}

// TestGoodIsNotRecorded: the medium refuses the write. The slot is not announced as
// good, and kairos-trial.service goes on.
func TestGoodIsNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, "b", "active", slot.State{Good: "a", Try: "b", Tries: 1})
		m.env.writeErr = errors.New("input/output error")
		code := m.do(t.Context(), (*Node).Settle)
		if got := m.out.String(); code != 1 || strings.Contains(got, "is good\n") || !strings.Contains(got, "could not be recorded: writing the boot environment: input/output error") {
			t.Errorf("status %d: %s", code, got)
		}
		if diff := cmp.Diff([]string{"boot b ok"}, m.history(t)); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
	})
}

// TestBusyBootEnvironment: another program holds the boot environment for a moment.
func TestBusyBootEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, "b", "active", slot.State{Good: "a", Try: "b", Tries: 1})
		m.env.busy = 2
		if code := m.do(t.Context(), (*Node).Settle); code != 0 || m.env.state() != (slot.State{Good: "b"}) {
			t.Errorf("status %d, %+v: %s", code, m.env.state(), m.out)
		}
	})
}

// TestNoBootEnvironment: the checks run for the status, and the error is reported.
func TestNoBootEnvironment(t *testing.T) {
	m := newMachine(t, "b", "active", slot.State{Good: "a", Try: "b"})
	m.OpenStore = func(*thisboot.Boot) (Store, error) { return nil, errors.New("no such partition") }
	m.Node.Probe = func(context.Context, config.Check) error { return nil }
	if code := m.do(t.Context(), (*Node).Settle); code != 1 || m.restarts != 0 || !strings.Contains(m.out.String(), "kairos: no such partition\n") {
		t.Errorf("status %d, %d restarts: %s", code, m.restarts, m.out)
	}
	if r, err := health.Read(m.Root); err != nil || !r.OK {
		t.Errorf("result %+v, %v", r, err)
	}
}

// TestStrict: a config with an error fails a trial only if it is strict.
func TestStrict(t *testing.T) {
	for _, c := range []struct {
		name, good, broken string
		restarts           int
	}{
		{"not strict", "hostname: a\n", "hostnam: b\n", 0},
		{"strict", "strict: true\n", "hostnam: b\n", 1},
		{"strict in the broken file", "hostname: a\n", "strict: true\nhostnam: b\n", 1},
		{"strict, and nothing is broken", "strict: true\n", "hostname: b\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, "b", "active", slot.State{Good: "a", Try: "b", Tries: 1})
			put(t, m.Root.Dir, "oem/10.yaml", c.good)
			put(t, m.Root.Dir, "oem/20.yaml", c.broken)
			m.do(t.Context(), (*Node).Settle)
			if m.restarts != c.restarts {
				t.Errorf("%d restarts: %s", m.restarts, m.out)
			}
		})
	}
}

// TestChecksOfABrokenFile: the checks of a file's last correct version apply.
func TestChecksOfABrokenFile(t *testing.T) {
	m := newMachine(t, "b", "active", slot.State{Good: "a", Try: "b", Tries: 1})
	put(t, m.Root.Dir, "oem/10.yaml", "health: {checks: [{tcp: '127.0.0.1:1'}]}\n")
	m.do(t.Context(), (*Node).Boot)
	put(t, m.Root.Dir, "oem/10.yaml", "health: {checks: [{tpc: '127.0.0.1:1'}]}\n")
	if got := m.standard().health.Checks; len(got) != 1 || got[0].TCP != "127.0.0.1:1" {
		t.Errorf("checks %+v", got)
	}
}

func TestTrial(t *testing.T) {
	trying := slot.State{Good: "a", Try: "b", Tries: 1}
	for _, c := range []struct {
		name     string
		state    slot.State
		becomes  slot.State
		loadErr  error // by then
		restarts int
		after    time.Duration
	}{
		{"hangs", trying, trying, nil, 1, 7*time.Minute - trialDelay},
		{"is good in time", trying, slot.State{Good: "b"}, nil, 0, 7*time.Minute - trialDelay},
		{"the disk is gone", trying, slot.Initial(), errors.New("input/output error"), 1, 7*time.Minute - trialDelay},
		{"no trial", slot.State{Good: "b"}, slot.State{Good: "b"}, nil, 0, 0},
		{"no trial, and a unit hangs", slot.State{Good: "b", Unproven: 3}, slot.State{Good: "b", Unproven: 3}, nil, 0, 7*time.Minute - trialDelay},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t, "b", "active", c.state)
				put(t, m.Root.Dir, "oem/10.yaml", "health: {timeout: 2m}\n")
				begin := time.Now()
				m.env.onLoad = func() {
					if time.Since(begin) > time.Minute {
						m.env.onLoad = nil
						m.env.set(c.becomes)
						m.env.loadErr = c.loadErr
					}
				}
				code := m.do(t.Context(), (*Node).Trial)
				if took := time.Since(begin); code != 0 || m.restarts != c.restarts || took != c.after {
					t.Errorf("status %d, %d restarts after %v: %s", code, m.restarts, took, m.out)
				}
				if n := m.env.state().Unproven; n != 0 {
					t.Errorf("%d boots that nobody proved", n)
				}
			})
		})
	}
}

// TestTrialDelay: trialDelay is what the timer waits.
func TestTrialDelay(t *testing.T) {
	found := false
	err := rootfs.Walk(func(path string, _ fs.FileMode, data []byte, _ string) error {
		if strings.HasSuffix(path, "/kairos-trial.timer") && strings.Contains(string(data), fmt.Sprintf("\nOnActiveSec=%.0fmin\n", trialDelay.Minutes())) {
			found = true
		}
		return nil
	})
	if err != nil || !found {
		t.Errorf("%v: kairos-trial.timer does not wait %v", err, trialDelay)
	}
}

func TestTrialIsStopped(t *testing.T) {
	m := newMachine(t, "b", "active", slot.State{Good: "a", Try: "b", Tries: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := m.do(ctx, (*Node).Trial); code != 0 || m.restarts != 0 {
		t.Errorf("status %d, %d restarts", code, m.restarts)
	}
}

// TestTellingHangs: a disk that hangs does not block the restart.
func TestTellingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := within(tellTime, "saying", func() error { <-ctx.Done(); return nil })
		if err == nil || !strings.Contains(err.Error(), "saying takes more than 1m0s") {
			t.Errorf("got %v", err)
		}
	})
}
