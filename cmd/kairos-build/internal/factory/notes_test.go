// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
)

// TestNoteOfAScript: the log says what becomes of a script, and nothing of a config.
func TestNoteOfAScript(t *testing.T) {
	for text, want := range map[string]int{"hostname: a\n": 0, "#!/bin/sh\necho hi\n": 1} {
		var said strings.Builder
		if _, err := readConfigs([]string{siteConfig(t, text)}, config.Options{}, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(said.String(), "\n"); got != want || want > 0 && !strings.Contains(said.String(), "a script, which a node runs") {
			t.Errorf("%q: the log says %q", text, &said)
		}
	}
}
