// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
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
)

// TestOneAttemptAtLeast: a check gets its attempt even if no time is left.
func TestOneAttemptAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		fail := func(context.Context, config.Check) error { return errors.New("connection refused") }
		c := Run(ctx, []config.Check{{TCP: "a:1"}}, time.Minute, fail).Checks[0]
		if c.Attempts != 1 || c.Message != "connection refused" || c.Passed {
			t.Errorf("got %+v", c)
		}
	})
}

// TestMessageOfTheLastAttempt: the second attempt hangs. The first says more if the limit
// of all checks ends the second, and not if the limit of the check does.
func TestMessageOfTheLastAttempt(t *testing.T) {
	for name, test := range map[string]struct {
		own, all time.Duration
		want     string
	}{
		"limit of all checks": {time.Minute, 6 * time.Second, "connection refused"},
		"limit of the check":  {3 * time.Second, 6 * time.Second, "no answer in 3s: context deadline exceeded"},
	} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			probe := func(ctx context.Context, _ config.Check) error {
				if attempts++; attempts == 1 {
					return errors.New("connection refused")
				}
				<-ctx.Done()
				return ctx.Err()
			}
			c := Run(t.Context(), []config.Check{{TCP: "a:1", Timeout: test.own}}, test.all, probe).Checks[0]
			if c.Message != test.want || c.Attempts != 2 {
				t.Errorf("%s: got %+v, want the message %q", name, c, test.want)
			}
		})
	}
}

func TestStatusOfHTTP(t *testing.T) {
	code := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
	defer server.Close()
	for _, code = range []int{200, 299, 300, 404} {
		want := ""
		if code > 299 {
			want = fmt.Sprintf("answer %d", code)
		}
		check(t, config.Check{HTTP: server.URL}, want)
	}
}

// TestChildrenOfACommand: a process in the background ends with the command.
func TestChildrenOfACommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			if data, err := os.ReadFile(file); err == nil && strings.HasSuffix(string(data), "\n") {
				cancel()
			}
		}
	}()
	if err := Probe(ctx, config.Check{Command: []string{script(t, "hang", "sleep 60 &\necho $! >"+file+"\nwait\n")}}); err == nil {
		t.Fatal("the command passed")
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 { // the kernel takes a moment
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") { // nobody may have waited for it yet
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %s still runs", pid)
}

func TestFailedUnitsSkipsEmptyLines(t *testing.T) {
	fake := script(t, "systemctl", "echo\necho x.service loaded failed failed\necho '  '\n")
	t.Setenv("PATH", filepath.Dir(fake)+":"+os.Getenv("PATH"))
	units, err := FailedUnits(t.Context())
	if diff := cmp.Diff([]string{"x.service"}, units); diff != "" || err != nil {
		t.Errorf("%v, failed units (-want +got):\n%s", err, diff)
	}
}

// TestMessagesArePrintable: letters beyond ASCII stay, control characters do not.
func TestMessagesArePrintable(t *testing.T) {
	got := Once(t.Context(), []config.Check{{TCP: "a:1"}}, func(context.Context, config.Check) error {
		return errors.New("a\x00b\x1fc d~e\x7ff\u0080g\u009fh\u00a0i\u00e9\tj")
	})
	if want := "abc d~efgh\u00a0i\u00e9 j"; got.Checks[0].Message != want {
		t.Errorf("got %q, want %q", got.Checks[0].Message, want)
	}
}
