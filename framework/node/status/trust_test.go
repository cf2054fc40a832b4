// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/trust"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// TestNotVerified: an image that nobody vouches for counts, but in the old slot, once the
// good one has an image that was verified.
func TestNotVerified(t *testing.T) {
	const none, signed, bad = "", `signed by key "k"`, slotimage.Unverified
	for _, tt := range []struct {
		name     string
		a, b     slot.Condition
		at       layout.Slot
		ta, tb   string // trust of the slots
		recovery string
		suspects string // slots that are returned
	}{
		{"as the builder made them", slot.Good, slot.Old, "a", none, none, none, ""},
		{"waits for its trial", slot.Good, slot.Trying, "a", none, bad, none, "b"},
		{"runs", slot.Old, slot.Good, "b", signed, bad, none, "b"},
		{"a trial that failed", slot.Good, slot.Bad, "a", signed, bad, none, "b"},
		{"a verified one waits", slot.Trying, slot.Good, "b", signed, bad, none, "b"},
		{"a verified one is good", slot.Good, slot.Old, "a", signed, bad, none, ""},
		{"the builder's one is good", slot.Good, slot.Old, "a", none, bad, none, "b"},
		{"the old slot runs once more", slot.Good, slot.Old, "b", signed, bad, none, "b"},
		{"recovery", slot.Good, slot.Old, "a", signed, none, bad, "recovery"},
	} {
		var got []string
		for _, i := range NotVerified([]SlotInfo{
			{Slot: "a", Condition: tt.a, Booted: tt.at == "a", Trust: tt.ta},
			{Slot: "b", Condition: tt.b, Booted: tt.at == "b", Trust: tt.tb},
			{Slot: layout.SlotRecovery, Condition: slot.Old, Trust: tt.recovery},
		}) {
			got = append(got, string(i.Slot))
		}
		if text := strings.Join(got, " "); text != tt.suspects {
			t.Errorf("%s: got %q, want %q", tt.name, text, tt.suspects)
		}
	}
}

func TestTrustLine(t *testing.T) {
	for _, tt := range []struct {
		trust Trust
		want  string
	}{
		{Trust{}, "no image: no upgrade is possible, see `kairos-agent policy show`"},
		{Trust{Keys: 1, Floor: "v1.2.0"}, "images of 1 key and 0 identities, none older than v1.2.0"},
		{Trust{Keys: 2, Identities: 1, Image: `signed by key "k"`}, `images of 2 keys and 1 identity; this image is signed by key "k"`},
		{Trust{Keys: 1, Image: slotimage.Unverified, Unverified: []trust.Unverified{{Slot: "b"}}}, "images of 1 key and 0 identities; slot b is NOT VERIFIED"},
	} {
		if got := tt.trust.line(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
