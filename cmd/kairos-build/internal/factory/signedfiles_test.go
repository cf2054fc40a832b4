// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// TestSignedFiles: all files are listed with their digests, and a disk without a checksum is
// a mistake.
func TestSignedFiles(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = ForSigning(DefaultArtifacts())
	r, _ := w.build(t)
	for _, image := range []string{r.Image.Digest, "sha256:" + digestOf(nil)} { // the last is of an older build
		testOf(t, r.Dir, image)
		files, err := SignedFiles(r.Dir)
		listed := slices.ContainsFunc(files, func(f SignedFile) bool { return filepath.Base(f.Path) == evidence.TestResultName })
		if err != nil || listed != (image == r.Image.Digest) {
			t.Errorf("the test result of %s is listed: %v, %v", image, listed, err)
		}
	}
	files, err := SignedFiles(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range files {
		got[filepath.Base(f.Path)] = f.Digest.Hex
	}
	want := map[string]string{}
	for _, name := range []string{rawName, rawName + checksumEnd, evidence.SPDXName, evidence.CycloneDXName, evidence.ProvenanceName, resultName} {
		want[name] = digestOf(read(t, filepath.Join(r.Dir, name)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, evidence.SPDXName), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := SignedFiles(r.Dir); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "sbom.spdx.json is not what the build wrote: build it again") {
		t.Errorf("got %v", err)
	}
	plain := newWorld(t)
	r, _ = plain.build(t)
	if _, err := SignedFiles(r.Dir); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "disk.raw has no SHA-256, which is what is signed: build it again with --artifact raw,sha256") {
		t.Errorf("got %v", err)
	}
}

// testOf writes a test result of an image.
func testOf(t *testing.T, dir, image string) {
	t.Helper()
	d, err := evidence.TestResult{Image: image}.Document()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, d.Name), d.Data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestForSigning(t *testing.T) {
	for _, tt := range [][2]string{{"image raw", "image raw sha256"}, {"image", "image"}, {"raw sha256", "raw sha256"}, {"image iso", "image iso sha256"}} {
		if got := strings.Join(ForSigning(strings.Fields(tt[0])), " "); got != tt[1] {
			t.Errorf("%s: got %s, want %s", tt[0], got, tt[1])
		}
	}
}

// TestOldSignatures: the signature of an output goes away with it.
func TestOldSignatures(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	bundle := filepath.Join(w.options.Dir, rawName+verify.BundleSuffix)
	if err := os.WriteFile(bundle, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if w.build(t); !exists(bundle) {
		t.Error("the signature of the same disk is gone")
	}
	w.options.CloudConfigs = []string{siteConfig(t, "hostname: b\n")}
	if w.build(t); exists(bundle) {
		t.Error("the signature of the old disk is still there")
	}
}
