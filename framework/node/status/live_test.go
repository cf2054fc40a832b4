// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// TestLive: a live system has no slot, and says what it was started from.
func TestLive(t *testing.T) {
	for want, disk := range map[string]*thisboot.Disk{
		"none: a live system, from /dev/sr0 QEMU DVD-ROM": {Device: "/dev/sr0", Model: "QEMU DVD-ROM"},
		"none: a live system, from memory":                {},
	} {
		var out strings.Builder
		if err := (Status{Mode: "live", Disk: disk}).WriteTable(&out, View{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if (Status{Mode: "active"}).Live() {
		t.Error("an installed node counts as live")
	}
}
