// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"io"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/lab"
)

// TestKeptResults: passed results are kept, failed ones are not.
func TestKeptResults(t *testing.T) {
	l := &lab.Lab{Options: lab.Options{Log: slog.New(slog.DiscardHandler), Say: func(string, string) {}}}
	r := &runner{Options: Options{Options: l.Options}, lab: l}
	k := &keptResults{t.TempDir(), r.Log}
	good, bad, none := l.Machine("upgrade@uefi", "uefi", 0), l.Machine("recovery", "bios", 0), l.Machine("damaged", "bios", 0)
	good.Version = "v1"
	good.Boots = []lab.Boot{{Machine: good.Name, Number: 1, ReadySeconds: 31}}
	good.Record("two", "second", 0, "text", nil)
	good.Record("one", "first", 0, "", nil)
	bad.Record("one", "first", 0, "", io.EOF)
	for _, s := range []*lab.Machine{good, bad, none} {
		k.keep(job{name: s.Name, boot: s.Boot}, s)
	}
	again := k.machine(job{name: good.Name, boot: good.Boot}, r)
	if again == nil {
		t.Fatal("what passed is not kept")
	}
	if diff := cmp.Diff(good.Results(), again.Results()) + cmp.Diff(good.Boots, again.Boots); diff != "" || again.Version != "v1" {
		t.Errorf("version %q\n%s", again.Version, diff)
	}
	for _, s := range []*lab.Machine{bad, none} {
		if k.machine(job{name: s.Name, boot: s.Boot}, r) != nil {
			t.Errorf("%s is kept", s.Name)
		}
	}
	for _, other := range []job{{name: good.Name, boot: "bios"}, {name: good.Name, boot: good.Boot, long: true}} {
		if k.machine(other, r) != nil {
			t.Errorf("what passed is taken for %+v", other)
		}
	}
	var nothing *keptResults
	nothing.keep(job{name: good.Name, boot: good.Boot}, good)
	if nothing.machine(job{name: good.Name}, r) != nil {
		t.Error("without Resume something is kept")
	}
}
