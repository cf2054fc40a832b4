// SPDX-License-Identifier: Apache-2.0

package verify

import "fmt"

// Unverified is what an attestation says, without a look at who signed it: anybody can have
// made it. It is for lists of what there is, and decides nothing.
func Unverified(e Evidence) (Statement, error) {
	s, err := open(e)
	switch {
	case err != nil:
		return Statement{}, err
	case s.says == nil:
		return Statement{}, fmt.Errorf("%w: it is a plain signature", ErrOtherType)
	}
	return *s.says, nil
}
