// SPDX-License-Identifier: Apache-2.0

package partitions

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
)

func TestNamed(t *testing.T) {
	dir := t.TempDir()
	program := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return config.ScriptDevice + path
	}
	for _, c := range []struct{ name, path, label, want, err string }{
		{"a path", "/dev/vdb", "", "/dev/vdb", ""},
		{"a path and a label: the path counts", "/dev/vdb", "NOSUCH", "/dev/vdb", ""},
		{"a program", program("a", "echo /dev/vd$1\necho talk >&2\n") + " c", "NOSUCH", "/dev/vdc", ""},
		{"one that fails", program("b", "echo first >&2\necho no disk is large enough >&2\nexit 3\n"), "", "", "exit status 3: no disk is large enough"},
		{"one that is silent", program("c", "exit 0\n"), "", "", "it printed nothing"},
		{"one that prints more", program("d", "echo /dev/vdb; echo /dev/vdc\n"), "", "", "and not one absolute path"},
		{"one that prints a name", program("e", "echo vdb\n"), "", "", "and not one absolute path"},
		{"one that is not there", config.ScriptDevice + "/nosuch/program", "", "", "asking /nosuch/program for the disk: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := named(t.Context(), config.DiskLayout{Path: config.Text{Text: c.path}, Label: config.Text{Text: c.label}})
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %q, %v, want %q, %q", got, err, c.want, c.err)
			}
		})
	}
}
