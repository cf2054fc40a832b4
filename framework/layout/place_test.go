// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPlaceOf(t *testing.T) {
	for path, want := range map[string]Place{
		"/etc/hostname": PlaceBoot, "/etc": PlaceBoot, "/etc/ssh/x": PlaceKept, "/etc/sshx": PlaceBoot, "/etcx": PlaceImage,
		"/usr/bin/x": PlaceImage, "/usr/local/bin/x": PlaceKept, "/usr/libexec/x": PlaceKept, "/oem/90.yaml": PlaceKept,
		"/opt/x": PlaceKept, "/run/x": PlaceBoot, "/tmp": PlaceBoot, "/": PlaceImage, "/var/lib/x": PlaceBoot, "/var/lib/kairos/x": PlaceKept,
	} {
		if got := PlaceOf(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestWritableWords: the text names the same paths as the lists.
func TestWritableWords(t *testing.T) {
	told := regexp.MustCompile(`/[/a-z]+`).FindAllString(WritableWords, -1)
	for _, path := range told {
		if PlaceOf(path) == PlaceImage {
			t.Errorf("%s cannot be written", path)
		}
	}
	for _, path := range append(Ephemeral(), append(Persistent(), MountOEM, MountPersistent)...) {
		below := func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
		if path != "/usr/libexec" && !slices.ContainsFunc(told, below) { // nobody keeps data there
			t.Errorf("%s can be written, and nobody is told", path)
		}
	}
}

// TestBootFS: existing disks carry these labels.
func TestBootFS(t *testing.T) {
	for slot, want := range map[Slot]string{SlotA: "BOOT_A", SlotB: "BOOT_B", SlotRecovery: "BOOT_R"} {
		if got := slot.BootFS(); got != want {
			t.Errorf("slot %s: %s, want %s", slot, got, want)
		}
	}
}
