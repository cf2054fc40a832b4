// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOpenMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "is not a watchdog", file + "x": "no such file"} {
		if d, err := Open(path, time.Minute); d != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v", path, d, err)
		}
	}
}

func TestName(t *testing.T) {
	var info unix.WatchdogInfo
	copy(info.Identity[:], "Software Watchdog")
	if got := name(&info); got != "Software Watchdog" {
		t.Errorf("got %q", got)
	}
	copy(info.Identity[:], strings.Repeat("x", 32))
	if got := name(&info); len(got) != 32 {
		t.Errorf("got %q", got)
	}
}
