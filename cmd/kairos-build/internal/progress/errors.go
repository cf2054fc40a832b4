// SPDX-License-Identifier: Apache-2.0

package progress

import "errors"

// ErrInterrupted is passed to Step.Done for a step that did not fail itself: the user,
// or the failure of another step, ended it.
var ErrInterrupted = errors.New("interrupted")
