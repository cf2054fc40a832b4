// SPDX-License-Identifier: Apache-2.0

package notary

import "errors"

// Sentinels that callers branch on.
var (
	// ErrBadInput says that the user named nothing that can be signed.
	ErrBadInput = errors.New("bad input")
	// ErrRefused says that an image or file is not trusted.
	ErrRefused = errors.New("not trusted")
)

// badInput marks an error. Its text stays as it is.
func badInput(err error) error { return &inputError{err} }

type inputError struct{ err error }

func (e *inputError) Error() string   { return e.err.Error() }
func (e *inputError) Unwrap() []error { return []error{e.err, ErrBadInput} }
