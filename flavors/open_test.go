// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpen: a name is a built-in flavor, a path is the user's own, by its file or folder.
func TestOpen(t *testing.T) {
	text, err := embedded.ReadFile("debian-13/flavor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	own := strings.Replace(string(text), "name: debian-13", "name: edge", 1)
	for _, name := range []string{"flavor.yaml", "other.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(own), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for ref, want := range map[string]string{"debian-13": "debian-13", dir: "edge", "./": "edge", "flavor.yaml": "edge", "./other.yaml": "edge"} {
		f, err := Open(ref)
		if err != nil || f.Name != want {
			t.Errorf("%s: got %v, %v", ref, f, err)
			continue
		}
		if keys, err := f.Keyring(); err != nil || len(keys) < 1000 {
			t.Errorf("%s: the keyring has %d bytes, %v", ref, len(keys), err)
		}
	}
	if err := os.WriteFile("debian-archive.pgp", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]bool{"flavor.yaml": true, "debian-13": false} {
		f, err := Open(ref)
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := f.Keyring(); err != nil || (string(keys) == "mine") != want {
			t.Errorf("%s: the keyring begins with %.10q, %v", ref, keys, err)
		}
	}
	for ref, want := range map[string]string{
		"debain-13":   `unknown flavor "debain-13"; did you mean debian-13?`,
		"./none.yaml": "reading a flavor of your own: open ./none.yaml: no such file",
		"./none":      "reading a flavor of your own: open ./none: no such file",
	} {
		if _, err := Open(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", ref, err, want)
		}
	}
}

// TestNameOfAFolder: a folder with a flavor that is named as a built-in flavor is found.
func TestNameOfAFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"edge", "debian-31", "empty"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir != "empty" {
			if err := os.WriteFile(filepath.Join(dir, "flavor.yaml"), []byte("name: edge\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	there := "(there are: " + strings.Join(Names(), ", ") + ")"
	for name, want := range map[string]string{
		"edge":      `unknown flavor "edge"; did you mean ./edge? ` + there,
		"debian-31": `unknown flavor "debian-31"; did you mean ./debian-31? ` + there,
		"empty":     `unknown flavor "empty" ` + there,
	} {
		if _, err := Open(name); !errors.Is(err, ErrUnknown) || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", name, err, want)
		}
	}
}

func TestLockFile(t *testing.T) {
	dir := t.TempDir()
	for ref, want := range map[string]string{
		"debian-13":              "flavors/debian-13/lock.yaml",
		dir:                      dir + "/lock.yaml",
		"./edge/flavor.yaml":     "edge/lock.yaml",
		"./edge.yaml":            "./edge.lock.yaml",
		"edge.yaml":              "edge.lock.yaml",
		"/srv/flavors/edge.yaml": "/srv/flavors/edge.lock.yaml",
	} {
		if got := LockFile(ref); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
}
