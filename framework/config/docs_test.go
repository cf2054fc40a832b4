// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocs: the cloud-configs in the documentation decode without a problem, so
// everything in them works.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(data), "```")[1:] {
			text, ok := strings.CutPrefix(block, "yaml\n")
			if !ok || !strings.HasPrefix(text, "#cloud-config\n") {
				continue
			}
			found++
			if _, problems := Decode(filepath.Base(page), []byte(text)); len(problems) > 0 {
				t.Errorf("%s, block %d:\n%s", page, i/2+1, problems.Error())
			}
		}
	}
	if found < 3 {
		t.Errorf("%d cloud-configs found", found)
	}
}
