// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package bootenv

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/slot"
)

// TestOnBlockDevice saves to a loop device, bypassing its page cache. It needs root.
func TestOnBlockDevice(t *testing.T) {
	path := image(t, envFile(block(t, slot.Initial().Vars())))
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", path).Output()
	if err != nil {
		t.Fatalf("losetup: %v", err)
	}
	device := strings.TrimSpace(string(out))
	defer func() {
		if err := exec.Command("losetup", "--detach", device).Run(); err != nil {
			t.Error(err)
		}
	}()
	if !sectorsFit(device) {
		t.Errorf("%s is not written past the page cache", device)
	}
	want := slot.State{Good: "b", Bad: "a"}
	s := open(t, device)
	writes := count(s)
	if err := s.Save(want); err != nil || len(*writes) != 2 {
		t.Fatalf("error %v, writes %q", err, *writes)
	}
	for _, where := range []string{device, path} {
		if got, err := open(t, where).Load(); err != nil || got != want {
			t.Errorf("%s: %+v, %v", where, got, err)
		}
	}
	at := t.TempDir()
	if err := exec.CommandContext(t.Context(), "mount", "-t", "vfat", device, at).Run(); err != nil {
		t.Skipf("NOT CHECKED with a mount: this kernel has no vfat: %v", err)
	}
	err = s.Save(slot.Initial())
	if e := exec.Command("umount", at).Run(); e != nil {
		t.Error(e)
	}
	if err == nil || !strings.Contains(err.Error(), "umount "+at) {
		t.Errorf("saved while it is mounted: %v", err)
	}
}
