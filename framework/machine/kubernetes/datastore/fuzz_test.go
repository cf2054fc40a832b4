// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRecord reads a damaged record of the datastore. What is read can be written, and is
// then the same.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"release":"v1.34.1+k3s1","highest":"v1.35.0+k3s1","good":"v1.34.1+k3s1","slots":{"a":"v1.34.1+k3s1"}}`))
	f.Add([]byte(`{"release":"v1.34.1+k0s.0","highest":"v1.34.1+k0s.0"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d recordDocument
		if json.Unmarshal(data, &d) != nil {
			return
		}
		r, err := d.parse()
		if err != nil {
			return
		}
		again, err := recordDocument{Release: r.Release.String(), Highest: r.Highest.String(), Good: d.Good, Slots: r.Slots}.parse()
		if err != nil || again.Release != r.Release || again.Highest != r.Highest || again.Good != r.Good || !cmp.Equal(again.Slots, r.Slots) {
			t.Errorf("%+v became %+v: %v", r, again, err)
		}
	})
}
