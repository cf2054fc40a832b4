// SPDX-License-Identifier: Apache-2.0

package channel

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/source/reference"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

func noon() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

func TestTag(t *testing.T) {
	k3s, err := release.Parse("v1.34.1+k3s1")
	if err != nil {
		t.Fatal(err)
	}
	i := reference.Image{Release: "13", Variant: "core", Arch: "amd64", Model: "generic", Version: "v1.2.3"}
	if got := Tag("stable", Kind(i)); got != "stable-13-core-amd64-generic" {
		t.Errorf("got %s", got)
	}
	i.Variant, i.Kubernetes = "standard", k3s
	if got := Tag("edge", Kind(i)); got != "edge-13-standard-amd64-generic-k3s" {
		t.Errorf("got %s", got)
	}
	if _, err := reference.ParseTag(Tag("edge", Kind(i))); err == nil {
		t.Error("the tag of a channel looks like that of an image")
	}
}

// TestNext: a sequence rises, also when the clock goes back or nothing is known of before.
func TestNext(t *testing.T) {
	first := Next("edge", "k", "v1", 0, noon())
	later := Next("edge", "k", "v2", first.Sequence, noon())
	back := Next("edge", "k", "v2", later.Sequence, noon().Add(-time.Hour))
	lost := Next("edge", "k", "v2", 0, noon().Add(time.Hour))
	if first.Sequence != noon().Unix() || later.Sequence != first.Sequence+1 || back.Sequence != later.Sequence+1 || lost.Sequence <= back.Sequence {
		t.Errorf("got %d, %d, %d, %d", first.Sequence, later.Sequence, back.Sequence, lost.Sequence)
	}
}

func TestParse(t *testing.T) {
	want := Next("edge", "13-core-amd64-generic", "v1.2.3", 0, noon())
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for text, why := range map[string]string{
		`{`: "unexpected EOF",
		`{"format":2,"channel":"edge","kind":"k","sequence":1,"time":"2026-01-01T00:00:00Z"}`:                   "its format is 2, and this program knows 1",
		`{"format":1,"channel":"edge","kind":"k","sequence":0,"time":"2026-01-01T00:00:00Z"}`:                   "it lacks a sequence",
		`{"format":1,"channel":"Edge","kind":"k","sequence":1,"time":"2026-01-01T00:00:00Z"}`:                   "want a name of small letters",
		`{"format":1,"channel":"edge","kind":"k","sequence":9223372036854775807,"time":"2026-01-01T00:00:00Z"}`: "more than a year ahead of its time",
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrForm) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, want %s", text, err, why)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":1,"channel":"edge","kind":"k","sequence":1,"time":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if q, err := Parse(again); err != nil || !q.Time.Equal(p.Time) || q.Sequence != p.Sequence || q.Kind != p.Kind {
			t.Errorf("%s is read as %+v, %v", again, q, err)
		}
	})
}
