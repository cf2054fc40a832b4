// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

// TestPackagesComeWithImages: keys about packages are no mistake, and say where packages
// come from.
func TestPackagesComeWithImages(t *testing.T) {
	const warning = "has no effect: packages come with images"
	for text, want := range map[string]string{
		"package_upgrade: true\n":                       warning,
		"package_upgrade: false\n":                      "",
		"package_update: true\n":                        warning,
		"package_reboot_if_required: true\n":            "",
		"packages: [htop, [nginx, 1.26]]\n":             warning,
		"package_upgrade: 7\n":                          "package_upgrade",
		"hostname: a\nuser: b\npackage_upgrade: true\n": "`kairos-agent upgrade` brings newer packages",
	} {
		_, problems := Decode("user-data", []byte("#cloud-config\n"+text))
		var said []string
		for _, p := range problems {
			said = append(said, p.Error())
			if bad := p.Severity == Error; bad != strings.HasSuffix(text, "7\n") {
				t.Errorf("%q: %v", text, p)
			}
		}
		if got := strings.Join(said, "; "); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
