// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// passAfter returns a prober whose checks pass after the given times.
func passAfter(wait map[string]time.Duration) Prober {
	start := time.Now()
	return func(_ context.Context, c config.Check) error {
		if left := wait[c.Name] - time.Since(start); left > 0 {
			return fmt.Errorf("%v left", left)
		}
		return nil
	}
}

func TestRun(t *testing.T) {
	checks := []config.Check{
		{Name: "at once", TCP: "a:1"}, {Name: "soon", Unit: "b.service", Origin: config.Position{File: "f", Line: 1, Column: 2}},
		{Name: "never", Command: []string{"/c"}},
	}
	synctest.Test(t, func(t *testing.T) {
		probe := passAfter(map[string]time.Duration{"soon": 3 * time.Second, "never": time.Hour})
		got := Run(t.Context(), checks, 9*time.Second, probe)
		want := Result{Version: 1, Time: got.Time, Seconds: 9, Checks: []Check{
			{Name: "at once", Kind: "tcp", Passed: true, Attempts: 1},
			{Name: "soon", Kind: "unit", Passed: true, Attempts: 3, Seconds: 4, Origin: "f:1:2"},
			{Name: "never", Kind: "command", Attempts: 5, Seconds: 9, Message: "59m52s left"},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("result (-want +got):\n%s", diff)
		}
	})
}

// TestRunHangs: an attempt that hangs ends at its own limit and at the limit of all
// checks.
func TestRunHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ config.Check) error { <-ctx.Done(); return ctx.Err() }
		got := Run(t.Context(), []config.Check{{Name: "x", TCP: "a:1", Timeout: 4 * time.Second}}, 9*time.Second, hang)
		if c := got.Checks[0]; got.OK || c.Attempts != 2 || c.Seconds != 9 || !strings.HasPrefix(c.Message, "no answer in 4s") {
			t.Errorf("got %+v", got)
		}
	})
}

// TestRunFinal: what cannot pass any more ends all checks at once, with its reason.
func TestRunFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		probe := func(_ context.Context, c config.Check) error {
			if c.TCP == "full:1" && time.Since(start) >= 4*time.Second {
				return fmt.Errorf("no room: %w", ErrFinal)
			}
			return errors.New("not yet")
		}
		got := Run(t.Context(), []config.Check{{TCP: "full:1"}, {TCP: "a:1"}}, time.Hour, probe)
		if got.OK || got.Seconds != 4 || got.Checks[0].Message != "no room: it stays so until the next boot" || got.Checks[1].Message != "not yet" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestNoChecks(t *testing.T) {
	if got := Run(t.Context(), nil, time.Second, nil); !got.OK || got.String() != "0 checks passed in 0.0 s" {
		t.Errorf("got %+v", got)
	}
}

func TestOnceAndAdd(t *testing.T) {
	fail := func(context.Context, config.Check) error { return errors.New("exit status 1\nlast\nwords") }
	got := Once(t.Context(), []config.Check{{TCP: "a:1"}}, fail)
	if got.OK || got.Checks[0].Attempts != 1 || got.String() != "1 of 1 checks failed: tcp a:1: exit status 1 | last | words" {
		t.Errorf("got %+v, %s", got, got.String())
	}
	rude := Once(t.Context(), []config.Check{{TCP: "a:1"}}, func(context.Context, config.Check) error { return errors.New("answer \x1b[2J\xff\r") })
	if got := rude.Checks[0].Message; got != "answer [2J?" {
		t.Errorf("message %q", got)
	}
	good := Once(t.Context(), nil, fail)
	good.Add(Check{Name: "config", Kind: "config"})
	if good.OK {
		t.Error("a failed check was added, and all is well")
	}
}

func TestDocument(t *testing.T) {
	root := tree.Root{Dir: t.TempDir(), KeepOwner: true}
	if _, err := Read(root); !errors.Is(err, ErrNone) {
		t.Errorf("no document: %v", err)
	}
	want := Once(t.Context(), []config.Check{{TCP: "a:1"}}, passAfter(nil))
	if err := want.Write(root); err != nil {
		t.Fatal(err)
	}
	got, err := Read(root)
	if err != nil || !cmp.Equal(*got, want) {
		t.Errorf("%v: %s", err, cmp.Diff(want, got))
	}
}

func TestProbeHTTP(t *testing.T) {
	mux := http.NewServeMux()
	for path, code := range map[string]int{"/good": 200, "/empty": 204, "/bad": 503} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	mux.Handle("/moved", http.RedirectHandler("/good", http.StatusFound))
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]string{
		"/good": "", "/empty": "", "/endless": "", "/bad": "answer 503 Service Unavailable",
		"/moved": "answer 302 Found to /good: check that address itself", "/gone": "answer 404 Not Found",
	} {
		check(t, config.Check{HTTP: server.URL + path}, want)
	}
}

func TestProbeTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	check(t, config.Check{TCP: l.Addr().String()}, "")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, config.Check{TCP: l.Addr().String()}, "connection refused")
}

// script writes an executable file.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProbeCommand(t *testing.T) {
	talk := script(t, "talk", "i=0\nwhile [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done\necho \"$1\" >&2\nexit 3\n")
	err := Probe(t.Context(), config.Check{Command: []string{talk, "a  b\033[31m"}})
	var want []string
	for i := 22; i <= 30; i++ {
		want = append(want, fmt.Sprint("line ", i))
	}
	if got := fmt.Sprint(err); got != "exit status 3\n"+strings.Join(want, "\n")+"\na  b[31m" {
		t.Errorf("got %q", got)
	}
	check(t, config.Check{Command: []string{script(t, "ok", "echo fine\n")}}, "")
	check(t, config.Check{Command: []string{"/does/not/exist"}}, "no such file")
}

// TestCommandHangs: the children of a command end with it.
func TestCommandHangs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := Probe(ctx, config.Check{Command: []string{script(t, "hang", "echo begun\nsleep 60 &\nwait\n")}})
	if err == nil || !strings.Contains(err.Error(), "begun") || time.Since(start) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// TestProbeUnit puts a fake systemctl first in PATH.
func TestProbeUnit(t *testing.T) {
	fake := script(t, "systemctl", `case "$*" in
"is-active -- up.service") echo active ;;
"is-active -- down.service") echo failed; exit 3 ;;
"list-units --failed "*) echo "x.service loaded failed failed X"; echo "y.mount loaded failed failed" ;;
*) exit 1 ;;
esac
`)
	t.Setenv("PATH", filepath.Dir(fake)+":"+os.Getenv("PATH"))
	check(t, config.Check{Unit: "up.service"}, "")
	check(t, config.Check{Unit: "down.service"}, "the unit is failed; see `journalctl -b -u down.service`")
	check(t, config.Check{Unit: "odd.service"}, "asking systemd for the unit")
	units, err := FailedUnits(t.Context())
	if diff := cmp.Diff([]string{"x.service", "y.mount"}, units); diff != "" || err != nil {
		t.Errorf("%v, failed units (-want +got):\n%s", err, diff)
	}
}

// check makes one attempt and expects an error that contains want, or none.
func check(t *testing.T, c config.Check, want string) {
	t.Helper()
	err := Probe(t.Context(), c)
	if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: got %v, want %q", c.Title(), err, want)
	}
}
