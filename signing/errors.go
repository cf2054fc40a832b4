// SPDX-License-Identifier: Apache-2.0

package signing

import "errors"

// Sentinels that callers branch on.
var (
	// ErrBadInput marks what the user can mend: keys, passwords, names, tokens.
	ErrBadInput = errors.New("bad input")
	// ErrPassword says that the password does not open the key.
	ErrPassword = errors.New("the password is wrong")
	// ErrService says that an authority or log did not do its part. Nothing is signed.
	ErrService = errors.New("nothing was signed")
)

// A badInputError is an ErrBadInput that keeps its own text.
type badInputError struct{ error }

func badInput(err error) error { return badInputError{err} }

func (e badInputError) Unwrap() []error { return []error{e.error, ErrBadInput} }
