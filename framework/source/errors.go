// SPDX-License-Identifier: Apache-2.0

package source

import "errors"

// Sentinels that callers branch on.
var (
	ErrNotFound = errors.New("no such image")
	ErrPlatform = errors.New("image is for another platform")
	ErrNotImage = errors.New("not an OCI image")
	// ErrDenied says that the registry wants other credentials, or got none.
	ErrDenied = errors.New("the registry refuses access")
	// ErrUntrusted says that the registry's certificate is not trusted.
	ErrUntrusted = errors.New("the registry's certificate is not trusted")
	// ErrRegistry says that the registry does not answer as it should.
	ErrRegistry = errors.New("the registry does not answer")
	// ErrPlain says that credentials would be sent without TLS.
	ErrPlain = errors.New("the credentials are not sent without TLS")
	// ErrAltered says that content does not have the digest that names it.
	ErrAltered = errors.New("content is altered")
	// ErrMissing says that a blob of the manifest is not there.
	ErrMissing = errors.New("the image is not complete")
	// ErrTooLarge says that a document or file which has to fit into memory is
	// larger than its limit.
	ErrTooLarge = errors.New("too large to be read")
)
