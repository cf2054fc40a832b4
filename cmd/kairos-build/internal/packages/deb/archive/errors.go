// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
)

// The kinds of failure that callers tell apart, with errors.Is. Their texts never
// appear in a message: the message itself says in full what happened.
var (
	// ErrUnreachable: a mirror did not answer (DNS, refused, time limit).
	ErrUnreachable = errors.New("mirror unreachable")
	// ErrNotFound: the mirror answered that it lacks the file.
	ErrNotFound = errors.New("not on the mirror")
	// ErrStalled: no byte arrived for the stall time limit.
	ErrStalled = errors.New("transfer stalled")
	// ErrSignature: a missing, wrong or foreign OpenPGP signature.
	ErrSignature = errors.New("signature not accepted")
	// ErrStale: a Release that has expired, or is from the future.
	ErrStale = errors.New("release not current")
	// ErrMismatch: size, hash, suite or architecture differ from those expected.
	ErrMismatch = errors.New("contents differ from what is expected")
	// ErrUnknownPackage: a name that no index of the archive has.
	ErrUnknownPackage = errors.New("unknown package")
	// ErrUnsatisfiable: a dependency that no package of the archive meets.
	ErrUnsatisfiable = errors.New("dependency not satisfiable")
	// ErrConflict: two chosen packages exclude each other.
	ErrConflict = errors.New("packages conflict")
)

// problem is an error with a full message and one of the kinds above.
type problem struct {
	kind error
	text string
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.kind }

func problemf(kind error, format string, args ...any) error {
	return &problem{kind: kind, text: fmt.Sprintf(format, args...)}
}

// An UnknownError is about a name that no index of the archive has. It is an
// ErrUnknownPackage.
type UnknownError struct {
	Name string
	text string
}

func (e *UnknownError) Error() string { return e.text }
func (e *UnknownError) Unwrap() error { return ErrUnknownPackage }

// otherMirror tells the user what to do about a faulty mirror.
const otherMirror = "try again later or choose another with --mirror"
