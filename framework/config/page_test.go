// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

const (
	keysBegin = "<!-- keys: go test ./framework/config -run TestKeysPage -update -->\n"
	keysEnd   = "<!-- end of keys -->\n"
)

// TestKeysPage keeps the table of keys in docs/config.md up to date.
func TestKeysPage(t *testing.T) {
	const page = "../../docs/config.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), keysBegin)
	_, after, ok2 := strings.Cut(rest, keysEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the keys", page)
	}
	golden.Check(t, page, before+keysBegin+keysTable()+keysEnd+after)
}

func keysTable() string {
	var b strings.Builder
	b.WriteString("\n| key | | what |\n|---|---|---|\n")
	for _, e := range entries(rootFields) {
		word := map[standing]string{implemented: "done", understood: "understood", known: "known"}[e.standing]
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.name, word, e.about)
	}
	b.WriteString("\n")
	return b.String()
}
