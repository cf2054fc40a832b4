// SPDX-License-Identifier: Apache-2.0

package disk

import "errors"

// Errors in a Spec. All are wrapped with names and numbers.
var (
	ErrTooLarge = errors.New("does not fit into its partition")
	ErrRoot     = errors.New("the root image is not the one of the image")
)
