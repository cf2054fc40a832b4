// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
)

// files makes a disk of 1 MiB and a log with two writes to it.
func files(t *testing.T) (base, log string) {
	t.Helper()
	dir := t.TempDir()
	base, log = filepath.Join(dir, "base.raw"), filepath.Join(dir, "writes.log")
	if err := os.WriteFile(base, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	w := writelog.NewWriter(f)
	for _, off := range []int64{512, 1<<20 + 4096} {
		if err := w.Write(off, bytes.Repeat([]byte{'x'}, 512), 0); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return base, log
}

func TestMaterialise(t *testing.T) {
	base, log := files(t)
	output := filepath.Join(t.TempDir(), "state.raw")
	var out bytes.Buffer
	err := run(t.Context(), []string{"-base", base, "-size", "2097152", "-log", log, "-materialise", "1", "-o", output}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if want := output + ": state 1: after 1 flushed epochs, nothing of the next\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	got, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2<<20 || got[511] != 0 || got[512] != 'x' || got[1<<20+4096] != 0 {
		t.Error("the file is not the disk after the first flush")
	}
}

func TestMistakes(t *testing.T) {
	base, log := files(t)
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "-base"},
		{"no log", []string{"-base", base}, "-log"},
		{"a word", []string{"-base", base, "-log", log, "again"}, `"again"`},
		{"a state for nobody", []string{"-base", base, "-log", log, "-materialise", "3"}, "-o belong together"},
		{"a smaller disk", []string{"-base", base, "-log", log}, "is this the disk"},
		{"a disk of another kind", []string{"-base", base, "-log", log, "-size", "2097152"}, "no GUID partition table"},
		{"no such file", []string{"-base", base + "x", "-log", log}, "base.rawx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := run(t.Context(), tt.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
