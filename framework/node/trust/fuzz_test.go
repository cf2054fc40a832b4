// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/mod/semver"
)

// FuzzDecode reads a damaged record. The floor of one that is read never goes down.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"floor":{"KAIROS_VERSION":"v1.2.3","KAIROS_FLAVOR":"debian-13"}}`), "v1.2.4")
	f.Add([]byte(`{"version":1,"floor":{"KAIROS_VERSION":"1.2.3"}}`), "v1.0.0")
	f.Fuzz(func(t *testing.T, data []byte, version string) {
		r, err := Decode(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(text)
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Fatalf("%v, differs (-first +again):\n%s", err, diff)
		}
		had := asSemver(r.Floor[keyVersion])
		if r.Raise(map[string]string{keyVersion: version}) && semver.IsValid(had) && semver.Compare(asSemver(r.Floor[keyVersion]), had) < 0 {
			t.Errorf("the floor went from %s down to %s", had, r.Floor[keyVersion])
		}
	})
}
