// SPDX-License-Identifier: Apache-2.0

package slotimage

import "testing"

func TestLabel(t *testing.T) {
	for _, c := range []struct {
		name  string
		label Label
		want  string
	}{
		{"all", Label{"v1.2.3", "registry.example.org/os:v1", "sha256:ab", "cd", "signed by x"}, "VERSION=v1.2.3\nIMAGE=registry.example.org/os:v1\nDIGEST=sha256:ab\nROOTHASH=cd\nTRUST=signed by x\n"},
		{"some", Label{Version: "v1 = beta"}, "VERSION=v1 = beta\n"},
		{"no second line", Label{Version: "v1\nDIGEST=x"}, "VERSION=v1DIGEST=x\n"},
		{"none", Label{}, ""},
	} {
		if got := string(c.label.Encode()); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDecodeLabel(t *testing.T) {
	got := DecodeLabel([]byte("# a comment\r\nNEW=1\nVERSION=v2\r\nDIGEST=sha256:=\nROOTHASH"))
	if want := (Label{Version: "v2", Digest: "sha256:="}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func FuzzDecodeLabel(f *testing.F) {
	f.Add([]byte("VERSION=v1\nDIGEST=sha256:ab\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := DecodeLabel(data)
		if again := DecodeLabel(l.Encode()); again != l {
			t.Errorf("%+v became %+v", l, again)
		}
	})
}
