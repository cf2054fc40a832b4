// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestResume: an exploration in two parts, with different numbers of workers, has the
// same report as one in one part.
func TestResume(t *testing.T) {
	r := upgrade{armEarly: true}.record(t)
	explore := func(x Explore) *Report {
		t.Helper()
		c, err := NewChecker(r.Timeline, r.fresh)
		must(t, err)
		x.Seed, x.Collect = 2, 5
		x.Reproduce = func(n int) string { return fmt.Sprintf("explore -state %d", n) }
		report, err := x.Run(t.Context(), r.Timeline, c)
		must(t, err)
		return report
	}
	path := filepath.Join(t.TempDir(), "progress")
	first := explore(Explore{States: 20, Workers: 1, Progress: path})
	if len(first.Bad) == 5 {
		t.Fatalf("the first part found everything already: %s", first.Text())
	}
	got := explore(Explore{States: 5000, Workers: 3, Progress: path})
	want := explore(Explore{States: 5000, Workers: 2})
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Report{}, "Seconds", "Distinct")); diff != "" {
		t.Error(diff)
	}
	if len(got.Bad) != 5 || got.Bad[0].Reproduce != fmt.Sprintf("explore -state %d", got.Bad[0].State) || got.Next != got.Bad[4].State+1 {
		t.Errorf("got %+v", got)
	}
	c, err := NewChecker(r.Timeline, r.fresh)
	must(t, err)
	if _, err := (Explore{Seed: 3, Progress: path}).Run(t.Context(), r.Timeline, c); !errors.Is(err, ErrOther) {
		t.Errorf("another seed: got %v", err)
	}
	must(t, os.WriteFile(path, []byte("{"), 0o600))
	if _, err := (Explore{Seed: 3, Progress: path}).Run(t.Context(), r.Timeline, c); err == nil {
		t.Error("a damaged progress file is accepted")
	}
}

func TestInterrupted(t *testing.T) {
	r := upgrade{}.record(t)
	c, err := NewChecker(r.Timeline)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report, err := Explore{States: 1000}.Run(ctx, r.Timeline, c)
	if !errors.Is(err, context.Canceled) || report == nil || report.Next != 0 || len(report.Bad) != 0 {
		t.Errorf("got %+v, %v", report, err)
	}
}
