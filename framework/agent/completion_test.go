// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// TestCompletionFiles: an image holds the output of `kairos-agent completion`, for both
// names of the program.
func TestCompletionFiles(t *testing.T) {
	const share = "../rootfs/files/usr/share/"
	for _, name := range []string{agentName, secondName} {
		for shell, file := range map[string]string{
			"bash": "bash-completion/completions/%s", "zsh": "zsh/vendor-completions/_%s", "fish": "fish/vendor_completions.d/%s.fish",
		} {
			var stdout, stderr bytes.Buffer
			p := &program{name: name, stdout: &stdout, stderr: &stderr}
			if code := p.run(t.Context(), []string{"completion", shell}); code != 0 {
				t.Errorf("%s completion %s: status %d, %s", name, shell, code, &stderr)
				continue
			}
			golden.Check(t, share+fmt.Sprintf(file, name), stdout.String())
		}
	}
}
