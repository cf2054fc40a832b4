// SPDX-License-Identifier: Apache-2.0

package flavors

import "testing"

// FuzzParseProof reads a proven.json as people write and merge it. A test result that is read
// names the image.
func FuzzParseProof(f *testing.F) {
	f.Add([]byte(`{"version":"v1.0.0","date":"2026-11-01","tests":12}`))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"ab"}}],"predicateType":"https://in-toto.io/attestation/test-result/v0.1",
		"predicate":{"result":"PASSED","configuration":[{"annotations":{"date":"2026-11-01","checks":[{"title":"a"}]}}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := ParseProof(data); err == nil && p == nil {
			t.Error("neither a proof nor an error")
		}
	})
}
