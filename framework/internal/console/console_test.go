// SPDX-License-Identifier: Apache-2.0

package console

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// records keeps each write as one record, as /dev/kmsg does.
type records []string

func (r *records) Write(b []byte) (int, error) {
	*r = append(*r, string(b))
	return len(b), nil
}

func TestHandler(t *testing.T) {
	var got records
	log := slog.New(New(&got, "prog"))
	log.Debug("not seen")
	log.Info("plain")
	log.With("disk", "vda").Info("with", "path", "/a b", "n", 3)
	log.Warn("two\nlines")
	log.Error("bad")
	log.Info(strings.Repeat("x", 2000))
	want := records{
		"<6>prog: plain\n",
		"<6>prog: with disk=vda path=\"/a b\" n=3\n",
		"<3>prog: two\n", "<3>prog: lines\n",
		"<2>prog: bad\n",
		"<6>prog: " + strings.Repeat("x", maxRecord-9) + "\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
