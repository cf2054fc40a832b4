// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// checkVerb makes the test binary call Check; the next argument is the state folder.
const checkVerb = "check-engine"

// TestMain makes the test binary its own child, as the real program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == checkVerb {
		if err := (Builder{Options: Options{StateDir: os.Args[2]}}).Check(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == ChildVerb {
		if err := ServeChild(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
