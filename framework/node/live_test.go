// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// TestLive: the console of a live system does not speak of slots.
func TestLive(t *testing.T) {
	s := status.Status{Mode: string(layout.ModeLive), Version: "v1.2.3"}
	if got, want := readyLine(s), "kairos: ready slot=none mode=live version=v1.2.3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := issueOf(s), "live system, not installed, version v1.2.3\n"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
	b := &thisboot.Boot{Mode: layout.ModeLive, Disk: thisboot.Disk{Device: "/dev/sr0"}}
	if _, err := b.Device(layout.PartEFI); err == nil || err.Error() != `this system runs from an installer medium, which has no partition "efi": install it first` {
		t.Error(err)
	}
}
