// SPDX-License-Identifier: Apache-2.0

package progress

import "errors"

// ErrInterrupted is given to Step.Done for a step that did not fail itself:
// the user, or another step's failure, ended it.
var ErrInterrupted = errors.New("interrupted")
