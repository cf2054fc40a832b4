// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// release writes a release file with one program of the given text and two names.
func release(t *testing.T, version, program string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "launcher"), "launcher")
	write(t, filepath.Join(dir, "kubernetes"), program)
	write(t, filepath.Join(dir, "bridge"), "plugin "+version)
	file := filepath.Join(dir, "release")
	contents := Contents{
		Launcher: filepath.Join(dir, "launcher"),
		Programs: map[string]string{"kubernetes": filepath.Join(dir, "kubernetes"), "bridge": filepath.Join(dir, "bridge")},
	}
	if err := Write(file, Release{Version: version, Links: map[string]string{"kubelet": "kubernetes"}}, contents); err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t *testing.T, file string) *Bundle {
	t.Helper()
	b, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestData(t *testing.T) {
	dir := t.TempDir()
	older, newer := open(t, release(t, "v1.35.1+k3s1", "old")), open(t, release(t, "v1.36.3+k3s1", "new"))
	first := unpack(t, older, dir)
	checkFile(t, filepath.Join(first, "bin", "kubelet"), "old")
	checkFile(t, filepath.Join(first, "bin", "k3s"), "launcher")
	checkLink(t, filepath.Join(dir, "data", "current"), first)

	second := unpack(t, newer, dir)
	checkFile(t, filepath.Join(second, "bin", "kubelet"), "new")
	checkLink(t, filepath.Join(dir, "data", "current"), second)
	checkLink(t, filepath.Join(dir, "data", "previous"), first)
	checkLink(t, filepath.Join(dir, "data", "cni", "bridge"), filepath.Join(second, "bin", "bridge"))

	if r, err := Unpacked(first); err != nil || r.Version != "v1.35.1+k3s1" {
		t.Errorf("the first folder says %q, %v", r.Version, err)
	}
}

// After a fallback the links still lead to the newer version: k3s' trap.
func TestDataAfterFallback(t *testing.T) {
	dir := t.TempDir()
	older, newer := open(t, release(t, "v1.35.1+k3s1", "old")), open(t, release(t, "v1.36.3+k3s1", "new"))
	first := unpack(t, older, dir)
	second := unpack(t, newer, dir)
	if again := unpack(t, older, dir); again != first {
		t.Errorf("the older version is now in %s, was in %s", again, first)
	}
	checkLink(t, filepath.Join(dir, "data", "current"), second)
}

func unpack(t *testing.T, b *Bundle, dir string) string {
	t.Helper()
	folder, err := b.Data(dir)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestStage(t *testing.T) {
	tests := []struct {
		name, program string
		sameTime      bool
		want          string
	}{
		{"another time: replaced", "new", false, "new"},
		{"the same time and another size: replaced", "newer", true, "newer"},
		{"the same time and size: the old program stays", "new", true, "old"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			older, newer := release(t, "v1.35.1+k0s.0", "old"), release(t, "v1.36.3+k0s.0", test.program)
			setTime(t, older, 1)
			setTime(t, newer, 2)
			if test.sameTime {
				setTime(t, newer, 1)
			}
			stage(t, older, dir)
			checkFile(t, filepath.Join(dir, "kubelet"), "old")
			stage(t, newer, dir)
			checkFile(t, filepath.Join(dir, "kubelet"), test.want)
			checkFile(t, filepath.Join(dir, "kubernetes"), test.want)
		})
	}
}

func stage(t *testing.T, file, dir string) {
	t.Helper()
	if err := open(t, file).Stage(dir); err != nil {
		t.Fatal(err)
	}
}

func TestWriteTwice(t *testing.T) {
	a, b := release(t, "v1.36.3+k3s1", "program"), release(t, "v1.36.3+k3s1", "program")
	checkFile(t, a, read1(t, b))
	if open(t, a).Hash == open(t, release(t, "v1.36.3+k3s2", "program")).Hash {
		t.Error("two versions have the same folder")
	}
}

func TestOpenWithout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	write(t, file, "a program without an archive")
	if _, err := Open(file); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
}

func setTime(t *testing.T, file string, second int64) {
	t.Helper()
	if err := os.Chtimes(file, time.Unix(second, 0), time.Unix(second, 0)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func read1(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func checkFile(t *testing.T, file, want string) {
	t.Helper()
	if got := read1(t, file); got != want {
		t.Errorf("%s has %q, want %q", file, got, want)
	}
}

func checkLink(t *testing.T, link, want string) {
	t.Helper()
	if got, err := os.Readlink(link); err != nil || got != want {
		t.Errorf("%s leads to %q (%v), want %q", link, got, err, want)
	}
}
