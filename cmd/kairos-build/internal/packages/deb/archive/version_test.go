// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os/exec"
	"strings"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0},
		{"1.0", "1.1", -1},
		{"1.10", "1.9", 1},
		{"1.0~rc1", "1.0", -1},
		{"1.0~~", "1.0~", -1},
		{"1.0-1", "1.0-1~bpo12+1", 1},
		{"1.0-1", "1.0-1+deb13u1", -1},
		{"1:0.9", "2.0", 1},
		{"0:1.0", "1.0", 0},
		{"1.0", "1.0-0", 0},
		{"1.0-1", "1.0", 1},
		{"1.0a", "1.0+", -1},
		{"1.0", "1.0a", -1},
		{"1.007", "1.7", 0},
		{"2.41-12+deb13u4", "2.41-12+deb13u10", -1},
		{"1.0-1-1", "1.0-1", 1},
		{"9999999999999999999999", "10000000000000000000000", -1},
		{"5.3.28+dfsg2-9", "5.3.28+dfsg10-1", -1},
		{"1.4.0+really1.3", "1.4.0", 1},
		{"", "0", 0},
		{"a", "", 1},
		{"~", "", -1},
	} {
		if got := sign(CompareVersions(tt.a, tt.b)); got != tt.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := sign(CompareVersions(tt.b, tt.a)); got != -tt.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

func sign(n int) int { return min(1, max(-1, n)) }

// FuzzCompareVersions checks the laws of an order, and compares with dpkg if it is
// installed and accepts both versions.
func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0-1", "1.0~rc1-1", "2:0.1")
	f.Add("1.0+b1", "1.0a", "")
	dpkg, _ := exec.LookPath("dpkg")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, ba := sign(CompareVersions(a, b)), sign(CompareVersions(b, a))
		if ab != -ba {
			t.Errorf("order of %q and %q depends on the side: %d, %d", a, b, ab, ba)
		}
		if bc, ac := sign(CompareVersions(b, c)), sign(CompareVersions(a, c)); ab == bc && ac != ab {
			t.Errorf("not transitive: %q %q %q: %d %d %d", a, b, c, ab, bc, ac)
		}
		if dpkg != "" && plain(a) && plain(b) {
			if got := exec.Command(dpkg, "--compare-versions", a, "lt", b).Run() == nil; got != (ab < 0) {
				t.Errorf("dpkg: %q lt %q is %v, CompareVersions says %d", a, b, got, ab)
			}
		}
	})
}

// plain reports whether v has no epoch and dpkg accepts it.
func plain(v string) bool {
	return v != "" && digits(v[:1]) == 1 && strings.Trim(v, "0123456789abcdefghijklmnopqrstuvwxyz.+~") == ""
}
