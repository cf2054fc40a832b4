// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"
	"testing"
)

// TestMain makes the test binary what the real program is: its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ChildVerb {
		if err := ServeChild(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
