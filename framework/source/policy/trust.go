// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// Trust is whose signatures count for images of a repository, and how the policy names a
// signer. An empty name stands for images that are not in a registry. A judge decides about
// an image; this is for lists of who signed what.
func (p *Policy) Trust(repository string) (verify.Trust, func(verify.Signer) string) {
	t, names := p.trust(repository)
	return t, func(s verify.Signer) string {
		if name := names[s.Key]; s.Key != "" && name != "" {
			return fmt.Sprintf("key %q (%s)", name, s.Key)
		}
		return s.String()
	}
}
