// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto"
	"slices"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// TrustsKey tells whether images of a repository may be signed by a key. An empty name stands
// for images that are not in a registry.
func (p *Policy) TrustsKey(repository string, key crypto.PublicKey) bool {
	id, err := verify.Fingerprint(key)
	return err == nil && slices.ContainsFunc(p.Keys, func(k Key) bool {
		other, err := verify.Fingerprint(k.Key)
		return err == nil && other == id && covers(k.Repositories, repository)
	})
}
