// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadExamined(t *testing.T) {
	for _, tt := range []struct {
		name, recording, explored, boots string
		want                             Examined
		err                              string
	}{
		{"good", `{"image":"sha256:1"}`, `{"next":100000}`, `[{},{}]`, Examined{Image: "sha256:1", States: 100000, Booted: 2}, ""},
		{"bad", `{"image":"sha256:1"}`, `{"next":9,"bad":[{}]}`, `[{"error":"no"},{"badAgain":2},{}]`, Examined{Image: "sha256:1", States: 9, Booted: 3, Bad: 3}, ""},
		{"an old recording", `{"firmware":"bios"}`, `{}`, `[]`, Examined{}, "names no image: record it again"},
		{"not explored", `{"image":"sha256:1"}`, "", `[]`, Examined{}, "explore.progress"},
		{"not booted", `{"image":"sha256:1"}`, `{}`, "", Examined{}, "boot.json"},
		{"broken", `{"image":"sha256:1"}`, `{`, `[]`, Examined{}, "explore.progress: unexpected end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{StepsName: tt.recording, ExploredName: tt.explored, BootedName: tt.boots} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ReadExamined(dir)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %+v, %v, want %+v, %q", got, err, tt.want, tt.err)
			}
		})
	}
}
