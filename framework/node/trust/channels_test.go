// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"fmt"
	"testing"
)

func TestSee(t *testing.T) {
	var r Record
	if !r.See("r:stable", Seen{Sequence: 7}) || r.See("r:stable", Seen{Sequence: 7}) || r.See("r:stable", Seen{Sequence: 6}) || !r.See("r:stable", Seen{Sequence: 8}) {
		t.Errorf("got %+v", r.Channels)
	}
	for i := range 2 * maxChannels {
		r.See(fmt.Sprint(i), Seen{Sequence: int64(100 + i)})
	}
	if _, old := r.Channels["r:stable"]; old || len(r.Channels) != maxChannels {
		t.Errorf("%d are remembered: %+v", len(r.Channels), r.Channels)
	}
}
