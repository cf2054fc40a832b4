// SPDX-License-Identifier: Apache-2.0

package layout

import "testing"

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
