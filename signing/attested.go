// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"bytes"
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// Attested tells whether this signer made the attestation e with this predicate about an
// image already. A keyless signer can tell only with a trusted root.
func (s *Signer) Attested(image v1.Hash, predicateType string, predicate json.RawMessage, e verify.Evidence) bool {
	trust, possible := s.trust()
	if !possible {
		return false
	}
	made, _, err := trust.Attestation(image, predicateType, e)
	if err != nil {
		return false
	}
	have, haveErr := compact(made.Predicate)
	want, wantErr := json.Marshal(predicate) // as a statement has it
	return haveErr == nil && wantErr == nil && bytes.Equal(have, want)
}
