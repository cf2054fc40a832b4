// SPDX-License-Identifier: Apache-2.0

package jointoken

import "errors"

// Sentinels that callers branch on.
var (
	// ErrNotToken says that a text is no join token of k0s.
	ErrNotToken = errors.New("not a join token of k0s")
	// ErrForeign says that a text is a token of another distribution.
	ErrForeign = errors.New("a token of another distribution")
	// ErrRole says that a token is for another role.
	ErrRole = errors.New("a token of another role")
	// ErrServer says that an address cannot be that of the API.
	ErrServer = errors.New("not an address of the API")
)
