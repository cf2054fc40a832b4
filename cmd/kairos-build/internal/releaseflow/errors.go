// SPDX-License-Identifier: Apache-2.0

package releaseflow

import "errors"

// Sentinels that callers branch on.
var (
	// ErrBadInput says that the user can help it by another command.
	ErrBadInput = errors.New("bad input")
	// ErrInterrupted says that the release was ended.
	ErrInterrupted = errors.New("interrupted")
	// ErrNotPassed says that the image did not pass its test.
	ErrNotPassed = errors.New("the image did not pass its test, and is not released")
	// ErrBusy says that another release works in the folder.
	ErrBusy = errors.New("another release is running")
	// ErrSpace says that the disk is too full.
	ErrSpace = errors.New("there is not enough space")
	// ErrOlder says that a channel names a newer image.
	ErrOlder = errors.New("the channel has a newer image")
)

// badInput marks an error. Its text stays as it is.
func badInput(err error) error { return inputError{err} }

type inputError struct{ error }

func (e inputError) Unwrap() []error { return []error{e.error, ErrBadInput} }
