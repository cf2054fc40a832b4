// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"fmt"
	"os"
	"testing"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

func TestRecord(t *testing.T) {
	root := tree.Root{Dir: t.TempDir(), KeepOwner: true}
	record := func(boot, stage string, o Outcome) {
		t.Helper()
		if err := Record(root, boot, StageReport{Stage: stage, Steps: []StepReport{{Name: "x", Outcome: o}}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		record(fmt.Sprint(i), "boot", Ran)
	}
	record("11", "network", Ran)
	record("11", "boot", Failed)
	now, err := ReadReport(root)
	if err != nil || len(now.Stages) != 2 || now.Stages[0].Steps[0].Outcome != Failed || now.BootID != "11" {
		t.Errorf("the report: %+v, %v", now, err)
	}
	past, err := ReadHistory(root)
	if err != nil || len(past) != KeptBoots || past[0].BootID != "2" || past[9].Stages[0].Steps[0].Outcome != Failed {
		t.Errorf("the history: %d boots, %+v, %v", len(past), past, err)
	}
	for _, path := range []string{ReportPath, HistoryPath} {
		if info, err := root.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// TestRecordEveryHour: an unchanged outcome is not written to the flash again.
func TestRecordEveryHour(t *testing.T) {
	root := tree.Root{Dir: t.TempDir(), KeepOwner: true}
	run := StageReport{Stage: "reconcile", Steps: []StepReport{{Name: "x", Outcome: Ran}}}
	for range 2 {
		if err := Record(root, "1", run); err != nil {
			t.Fatal(err)
		}
		run.Milliseconds++
	}
	past, err := ReadHistory(root)
	if err != nil || past[0].Stages[0].Milliseconds != 0 {
		t.Errorf("%+v, %v", past, err)
	}
}

func TestRecordOverDamage(t *testing.T) {
	root := tree.Root{Dir: t.TempDir(), KeepOwner: true}
	put(t, root.Dir+ReportPath, "{")
	put(t, root.Dir+HistoryPath, "{")
	if _, err := ReadReport(root); err == nil {
		t.Error("a damaged report was read")
	}
	if err := Record(root, "1", StageReport{Stage: "boot"}); err != nil {
		t.Fatal(err)
	}
	if now, err := ReadReport(root); err != nil || len(now.Stages) != 1 {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := os.Stat(root.Dir + HistoryPath); err != nil {
		t.Error(err)
	}
}
