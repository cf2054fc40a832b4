// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func TestBusArgs(t *testing.T) {
	var text strings.Builder
	for _, b := range Buses() {
		fmt.Fprintf(&text, "%s\n  %s\n", b, strings.Join(b.Args(1, 0, "disk0", "disk1"), " "))
	}
	golden.Check(t, "testdata/buses.args", text.String())
}
