// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/settle"
)

// settled makes a node after a failed trial of slot b.
func settled(t *testing.T) tree.Root {
	t.Helper()
	root := node(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, e := range []history.Entry{
		{Kind: history.Boot, Slot: "a", Version: "v1", Outcome: history.OK, Message: "the oldest"},
		{Kind: history.Upgrade, Slot: "b", Version: "v2", Outcome: history.OK},
		{Kind: history.Boot, Slot: "b", Version: "v2", Outcome: history.OK},
		{Kind: history.TrialFailed, Slot: "b", Version: "v2", Outcome: history.Failed, Message: "1 of 1 checks failed: api: connection refused"},
		{Kind: history.Fallback, Slot: "b", Version: "v2", Outcome: history.Failed, Message: "api: connection refused"},
		{Kind: history.Boot, Slot: "a", Version: "v1", Outcome: history.OK},
	} {
		e.Time = at.Add(time.Duration(i) * time.Minute)
		if err := history.Append(filepath.Join(root.Dir, history.Dir), e); err != nil {
			t.Fatal(err)
		}
	}
	r := health.Result{Version: 1, Checks: []health.Check{{Name: "api", Kind: "tcp", Attempts: 3, Message: "connection refused"}}}
	if err := r.Write(root); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Replace(settle.FailureFile, tree.File{Data: []byte("slot: b\n"), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestProof(t *testing.T) {
	s := Collect(settled(t))
	var table bytes.Buffer
	if err := s.WriteTable(&table, View{All: true}); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/settled.txt", table.String())
	if s.Failure != "slot: b" || len(s.History) != 6 || s.LastFailure.Kind != history.Fallback {
		t.Errorf("got %+v", s.Proof)
	}
}

func TestDamagedHistory(t *testing.T) {
	root := node(t)
	if _, err := root.Replace(history.Dir+"/"+history.File, tree.File{Data: []byte("{"), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(Collect(root).Problems, "\n"); !strings.Contains(got, history.ErrDamaged.Error()) {
		t.Errorf("problems %q", got)
	}
}
