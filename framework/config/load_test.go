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

// TestLoadOfAPipe: Load does not wait for a program that writes into it.
func TestLoadOfAPipe(t *testing.T) {
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
	loaded := make(chan Loaded, 1)
	go func() { loaded <- Load(os.DirFS(dir), []string{"/oem"}) }()
	select {
	case l := <-loaded:
		if got := l.Problems().Error(); !strings.Contains(got, "/oem/10_pipe.yaml:1:1: cannot be read: it is no file, but p") {
			t.Errorf("problems: got %s", got)
		}
		if l.Config.Hostname != "edge" {
			t.Errorf("host name: got %q, want that of the other file", l.Config.Hostname)
		}
	case <-time.After(time.Minute):
		t.Fatal("Load waits for a writer")
	}
}
