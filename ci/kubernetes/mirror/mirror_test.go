// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
)

func TestMirror(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "shell"), "shell")
	write(t, filepath.Join(dir, "programs/hollow"), "hollow")
	write(t, filepath.Join(dir, "container"), "container")
	folder := filepath.Join(dir, "mirror")
	args := []string{
		"-o", folder, "-shell", filepath.Join(dir, "shell"), "-programs", filepath.Join(dir, "programs"), "-container", filepath.Join(dir, "container"),
		"v1.35.1+k3s1,etcd=3.5.20,without=embedded-registry", "v1.36.3+k3s1", "v1.36.3+k0s.0",
	}
	if err := run(args); err != nil {
		t.Fatal(err)
	}
	contains(t, filepath.Join(folder, "channels"), `"latest": "v1.35.1+k3s1"`, `"name": "v1.35"`, `"name": "stable"`)
	contains(t, filepath.Join(folder, "stable.txt"), "v1.36.3+k0s.0\n")
	contains(t, filepath.Join(folder, "versions.json"), `"version": "v1.36.3+k0s.0"`)
	contains(t, filepath.Join(folder, "v1.36.3+k0s.0/sha256sums.txt"), " *k0s-v1.36.3+k0s.0-amd64\n")
	program := filepath.Join(folder, "v1.35.1+k3s1/k3s")
	sum, err := sumOf(program)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, filepath.Join(folder, "v1.35.1+k3s1/sha256sum-amd64.txt"), sum+"  k3s\n", "  k3s-airgap-images-amd64.tar.zst\n")
	b, err := bundle.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if b.Etcd != "3.5.20" || len(b.WithoutFlags) != 1 || b.Links["kubelet"] != "hollow" {
		t.Errorf("the release is %+v", b.Release)
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"1.36.3+k3s1":           "is no version",
		"v1.36.3":               "is no version",
		"v1.36.3+k3s1,kine=1.0": "want etcd=VERSION or without=FLAG",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if _, _, err := programsIn(t.TempDir()); err == nil || !strings.Contains(err.Error(), "type make kubernetes") {
		t.Errorf("an empty folder: got %v", err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func contains(t *testing.T, name string, texts ...string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if !strings.Contains(string(data), text) {
			t.Errorf("%s has no %q:\n%s", name, text, data)
		}
	}
}
