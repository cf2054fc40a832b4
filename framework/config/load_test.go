// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLoadOfOddFiles: Load does not wait for a program that writes into a pipe, and
// does not read a file that is too large.
func TestLoadOfOddFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "oem"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "oem", "10_pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "oem", "20_good.yaml"), []byte("hostname: edge\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Most of it is a hole: whoever reads it all runs out of memory.
	if err := os.WriteFile(filepath.Join(dir, "oem", "30_huge.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "oem", "30_huge.yaml"), 1<<40); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan Loaded, 1)
	go func() { loaded <- Load(os.DirFS(dir), []string{"/oem"}) }()
	select {
	case l := <-loaded:
		for _, want := range []string{
			"/oem/10_pipe.yaml:1:1: cannot be read: it is no file, but p",
			"/oem/30_huge.yaml:1:1: cannot be read: it has 1099511627776 bytes: a config may have 16 MiB",
		} {
			if got := l.Problems().Error(); !strings.Contains(got, want) {
				t.Errorf("problems: got %s, want %s", got, want)
			}
		}
		if l.Config.Hostname != "edge" {
			t.Errorf("host name: got %q, want that of the other file", l.Config.Hostname)
		}
	case <-time.After(time.Minute):
		t.Fatal("Load waits for a writer")
	}
}
