// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"archive/tar"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	long := &tar.Header{Name: strings.Repeat("a", 4000), Linkname: strings.Repeat("b", 4000), PAXRecords: map[string]string{"SCHILY.xattr.user.a": strings.Repeat("c", 32<<10)}}
	for name, tt := range map[string]struct {
		header *tar.Header
		want   int // entries that are taken
		says   string
	}{
		"many":  {&tar.Header{Name: "a"}, MaxEntries, "more than 200000 in its layers"},
		"large": {long, MaxNameBytes / (8000 + 32<<10 + len("SCHILY.xattr.user.a")), "take more than 32 MiB"},
	} {
		var b Budget
		taken := 0
		var err error
		for ; err == nil && taken <= tt.want; taken++ {
			err = b.Take(tt.header)
		}
		if taken-1 != tt.want || !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %d were taken, want %d; then %v", name, taken-1, tt.want, err)
		}
	}
}

// TestPathsAreBounded: few entries with many folders each, by claims and by marks.
func TestPathsAreBounded(t *testing.T) {
	deep := strings.Repeat("/d", 2000)
	for name, add := range map[string]func(*Names, string) error{
		"claim": func(n *Names, path string) error { _, err := n.Claim(path, 1, false); return err },
		"hide":  func(n *Names, path string) error { return n.Hide(Mark{Path: path}, 1) },
	} {
		var n Names
		for i := 0; ; i++ {
			err := add(&n, fmt.Sprint(i)+deep)
			if errors.Is(err, ErrTooMany) && i >= MaxPaths/2001-1 {
				break
			}
			if err != nil || i > MaxPaths/2000 {
				t.Fatalf("%s: after %d: %v", name, i, err)
			}
		}
	}
}
