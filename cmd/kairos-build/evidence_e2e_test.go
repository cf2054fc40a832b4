// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/referrers"
	"github.com/kairos-build/kairos-build/framework/source"
)

// TestEveryPackageOfTheImageIsInTheEvidence compares the bill of materials with what
// dpkg-query lists of the image's own package database.
func TestEveryPackageOfTheImageIsInTheEvidence(t *testing.T) {
	image := os.Getenv("KAIROS_E2E_IMAGE")
	if image == "" {
		t.Skip("SKIPPED, NOT PROVEN: set KAIROS_E2E_IMAGE")
	}
	s, err := readEvidence(t.Context(), referrers.Place{Ref: filepath.Dir(image)})
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	kinds := map[string]int{}
	for _, p := range s.Parts {
		kinds[p.Kind]++
		if p.Kind == "package" || p.Kind == "kernel" {
			listed = append(listed, p.Name+" "+p.Version)
		}
	}
	installed := dpkgQuery(t, image)
	slices.Sort(listed)
	if !slices.Equal(installed, listed) {
		t.Errorf("dpkg-query lists %d packages, the evidence %d:\n%v\n%v", len(installed), len(listed), installed, listed)
	}
	if len(installed) < 100 || kinds["kernel"] != 1 || kinds["program"] != 2 || kinds["module"] < 10 {
		t.Errorf("%d packages; components by kind: %v", len(installed), kinds)
	}
	t.Logf("%d of %d packages, and %v", len(listed), len(installed), kinds)
}

// dpkgQuery lists names and versions of an image's packages, sorted.
func dpkgQuery(t *testing.T, image string) []string {
	t.Helper()
	const status = "var/lib/dpkg/status"
	opened, err := source.Layout(image, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := source.Files(opened, status)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"info", "updates", "triggers"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), files[status], 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "dpkg-query", "--admindir", dir, "--show", "--showformat", "${Package} ${Version}\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return lines
}
