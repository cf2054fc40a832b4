// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"io"
	"testing"

	"github.com/kairos-build/kairos-build/ci/bounded"
)

// FuzzSummary reads documents of each kind as a registry or a folder may have them, and
// prints what is in them.
func FuzzSummary(f *testing.F) {
	all, err := Make(example())
	if err != nil {
		f.Fatal(err)
	}
	for i, d := range all {
		f.Add(byte(i), d.Data)
	}
	f.Add(byte(1), []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a","hashes":[],"properties":[]}]}`))
	f.Add(byte(0), []byte(`{"packages":[null]}`))
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		d := kinds()[int(kind)%len(kinds())]
		d.Data = data
		bounded.Run(t, 64<<20, func() {
			if about, err := d.About(); err == nil && about == "" {
				t.Error("it is about nothing")
			}
			var s Summary
			if s.take(d) != nil {
				return
			}
			if err := s.Print(io.Discard, true); err != nil {
				t.Error(err)
			}
		})
	})
}
