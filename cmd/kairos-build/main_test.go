// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/kairos-build/kairos-build/framework/commandline"
)

func TestExamples(t *testing.T) {
	for _, broken := range commandline.BrokenExamples(newRoot()) {
		t.Error(broken)
	}
}
