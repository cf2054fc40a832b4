// SPDX-License-Identifier: Apache-2.0

package slotlabel_test

import (
	"testing"

	"github.com/kairos-build/kairos-build/framework/slot/slotlabel"
)

func TestEncode(t *testing.T) {
	for _, c := range []struct {
		name  string
		label slotlabel.Label
		want  string
	}{
		{"all", slotlabel.Label{"v1.2.3", "registry.example.org/os:v1", "sha256:ab", "cd"}, "VERSION=v1.2.3\nIMAGE=registry.example.org/os:v1\nDIGEST=sha256:ab\nROOTHASH=cd\n"},
		{"some", slotlabel.Label{Version: "v1 = beta"}, "VERSION=v1 = beta\n"},
		{"no second line", slotlabel.Label{Version: "v1\nDIGEST=x"}, "VERSION=v1DIGEST=x\n"},
		{"none", slotlabel.Label{}, ""},
	} {
		if got := string(c.label.Encode()); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDecode(t *testing.T) {
	got := slotlabel.Decode([]byte("# a comment\r\nNEW=1\nVERSION=v2\r\nDIGEST=sha256:=\nROOTHASH"))
	if want := (slotlabel.Label{Version: "v2", Digest: "sha256:="}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("VERSION=v1\nDIGEST=sha256:ab\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := slotlabel.Decode(data)
		if again := slotlabel.Decode(l.Encode()); again != l {
			t.Errorf("%+v became %+v", l, again)
		}
	})
}
