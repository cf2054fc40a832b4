// SPDX-License-Identifier: Apache-2.0

package verify

import "errors"

// Sentinels that callers branch on.
var (
	// ErrMalformed says that evidence cannot be read, or is too large.
	ErrMalformed = errors.New("this is not a signature or attestation that can be read")
	// ErrOtherType says that it is an attestation and not a signature, or of another type.
	ErrOtherType = errors.New("this is evidence of another type")
	// ErrOtherSubject says that it is about another image.
	ErrOtherSubject = errors.New("this is about another image")
	// ErrStranger says that nobody who is trusted signed it.
	ErrStranger = errors.New("nobody who is trusted signed this")
	// ErrUnproven says that log, timestamp or certificate do not prove who signed it.
	ErrUnproven = errors.New("this does not prove who signed it")
)
