// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHostileFiles: a pipe, link or endless file of a user, at the path of a step's
// file, does not block the stage.
func TestHostileFiles(t *testing.T) {
	for name, do := range map[string]func(path string) error{
		"a pipe":             func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a file without end": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 8<<40)) },
		"a link":             func(path string) error { return os.Symlink("/etc/shadow", path) },
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := newEngine(t)
			dir := filepath.Join(e.Root.Dir, "home/ada")
			if err := errors.Join(os.MkdirAll(dir, 0o755), do(filepath.Join(dir, "tool")), do(filepath.Join(dir, "env"))); err != nil {
				t.Fatal(err)
			}
			done := make(chan []string, 1)
			go func() {
				done <- summary(run(t, e, "stages: {boot: [{name: x, downloads: [{path: /home/ada/tool, url: 'https://example.org/tool'}], environment: {A: b}, environment_file: /home/ada/env}]}"))
			}()
			var got []string
			select {
			case got = <-done:
			case <-time.After(20 * time.Second):
				t.Fatal("a user holds the stage")
			}
			if data, err := os.ReadFile(filepath.Join(dir, "tool")); string(data) != "hello" {
				t.Errorf("the download: %q, %v", data, err)
			}
			if text := strings.Join(got, "\n"); name != "a link" && !strings.Contains(text, "failed: ") {
				t.Errorf("the file that is added to: %s", text)
			}
			if data, err := os.ReadFile(filepath.Join(e.Root.Dir, "etc/shadow")); string(data) != image["etc/shadow"] {
				t.Errorf("/etc/shadow: %q, %v", data, err)
			}
		})
	}
}
