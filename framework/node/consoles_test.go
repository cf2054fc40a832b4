// SPDX-License-Identifier: Apache-2.0

package node

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConsoleDevices(t *testing.T) {
	for in, want := range map[string][]string{
		"tty0 ttyS0\n": {"/dev/tty0", "/dev/ttyS0"}, "": {"/dev/console"}, "\n": {"/dev/console"},
	} {
		if diff := cmp.Diff(want, consoleDevices(in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestWriteConsole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console")
	put(t, filepath.Dir(path), "console", "")
	if err := writeConsole(t.Context(), path, "hi\n"); err != nil {
		t.Fatal(err)
	}
	if err := writeConsole(t.Context(), path+"x", "hi\n"); err == nil {
		t.Error("no error for a console that does not exist")
	}
}

func TestShort(t *testing.T) {
	if got := short("as it is"); got != "as it is" {
		t.Errorf("got %q", got)
	}
	if got := short("x" + strings.Repeat("é", maxLine)); len(got) > maxLine+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("%d bytes, %q", len(got), got[len(got)-8:])
	}
}
