// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
)

// documents are the files of a build's evidence, by name.
func documents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all, err := evidence.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range all {
		found[d.Name] = string(d.Data)
	}
	return found
}

// TestEvidence: build.json lists what is there, and it is about the image.
func TestEvidence(t *testing.T) {
	w := newWorld(t)
	r, _ := w.build(t)
	all, err := evidence.Read(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var want []Evidence
	for _, d := range all {
		want = append(want, Evidence{d.Name, d.Predicate, d.MediaType, int64(len(d.Data)), d.Digest()})
	}
	if diff := cmp.Diff(want, r.Evidence); len(want) != 3 || diff != "" {
		t.Errorf("-files +build.json:\n%s", diff)
	}
	s, err := evidence.Summarize(r.Image.Digest, evidence.InFolder(all))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, p := range s.Parts {
		kinds[p.Name] = p.Kind + " " + p.Version
		if hasSHA := p.SHA256 != ""; (p.Name == "linux-image-amd64" || p.Name == "base-files") && !hasSHA || p.Name == "of-the-base" && hasSHA {
			t.Errorf("%s: SHA-256 %q", p.Name, p.SHA256)
		}
	}
	wantKinds := map[string]string{
		"debian": "operating-system 13", "base-files": "package 1", "linux-image-amd64": "kernel 1", "of-the-base": "package 3",
		"init": "program v0.9.0", "kairos-agent": "program v0.9.0",
	}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if s.Origin.Parameters.Flavor != "debian-13" || len(s.Origin.Indexes) != 3 {
		t.Errorf("got %+v", s.Origin)
	}
}

// TestEvidenceIsTheSameElsewhere: with another output folder and another cache, and with a
// cloud-config, which is no part of the image.
func TestEvidenceIsTheSameElsewhere(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	other.options.CloudConfigs = []string{siteConfig(t, "hostname: secret-name\n")}
	w.build(t)
	other.build(t)
	if diff := cmp.Diff(documents(t, w.options.Dir), documents(t, other.options.Dir)); diff != "" {
		t.Errorf("-first +other:\n%s", diff)
	}
}

// TestLostEvidence: evidence that someone removed is made again.
func TestLostEvidence(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	before := documents(t, w.options.Dir)
	if err := os.Remove(filepath.Join(w.options.Dir, evidence.ProvenanceName)); err != nil {
		t.Fatal(err)
	}
	w.build(t)
	if diff := cmp.Diff(before, documents(t, w.options.Dir)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// TestChecksum: it is of the disk beside it, and goes away with that disk.
func TestChecksum(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(w.options.Dir, "disk.raw.sha256")
	w.options.Artifacts = []string{"image", "raw", "sha256"}
	r, _ := w.build(t)
	want := digestOf(read(t, filepath.Join(w.options.Dir, "disk.raw"))) + "  disk.raw\n"
	if got := string(read(t, path)); got != want || r.Disks[0].Checksum != "disk.raw.sha256" || r.Disks[0].SHA256+"  disk.raw\n" != want {
		t.Errorf("got %q, build.json says %q, want %q", got, r.Disks[0].Checksum, want)
	}
	w.options.Artifacts = nil
	w.options.CloudConfigs = []string{siteConfig(t, "hostname: b\n")}
	if r, _ = w.build(t); exists(path) || r.Disks[0].Checksum != "" {
		t.Errorf("the checksum of the old disk is still there: %q", r.Disks[0].Checksum)
	}
}

func TestChecksumOfNoDisk(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image", "sha256"}
	if _, err := Build(t.Context(), w.options); err == nil || !strings.Contains(err.Error(), "the artifact sha256 is the checksum of the disks: ask for one of them, too, such as raw") {
		t.Errorf("got %v", err)
	}
}

// TestImageWithoutPackageDatabase: nobody knows what is in such an image.
func TestImageWithoutPackageDatabase(t *testing.T) {
	w := newWorld(t)
	w.builder.without = "var/lib/dpkg/status"
	if _, err := Build(t.Context(), w.options); err == nil || !strings.Contains(err.Error(), "reading which packages the image has: ") {
		t.Errorf("got %v", err)
	}
}
