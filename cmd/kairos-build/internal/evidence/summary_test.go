// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// written is a folder with the documents of an example, and a test result of an image.
func written(t *testing.T, tested string) string {
	t.Helper()
	dir := t.TempDir()
	result := exampleResult()
	result.Image = tested
	d, err := result.Document()
	if err != nil {
		t.Fatal(err)
	}
	documents := makeExample(t, example())
	documents[d.Name] = d
	for name, d := range documents {
		if err := os.WriteFile(filepath.Join(dir, name), d.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func summarize(t *testing.T, dir string) Summary {
	t.Helper()
	documents, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Summarize(example().Image, InFolder(documents))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSummary(t *testing.T) {
	var out strings.Builder
	s := summarize(t, written(t, example().Image))
	if err := s.Print(&out, true); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/summary.txt", out.String())
}

// TestStaleDocument: a test result of another image proves nothing of this one.
func TestStaleDocument(t *testing.T) {
	other := "sha256:" + strings.Repeat("9", 64)
	s := summarize(t, written(t, other))
	var out strings.Builder
	if err := s.Print(&out, false); err != nil {
		t.Fatal(err)
	}
	if s.Test != nil || !strings.Contains(out.String(), "about another image: "+other) || !strings.Contains(out.String(), "no result: `kairos-build test --attest` writes one") {
		t.Errorf("got %s", out.String())
	}
}

func TestBrokenDocuments(t *testing.T) {
	for _, name := range []string{SPDXName, CycloneDXName, ProvenanceName, TestResultName} {
		dir := written(t, example().Image)
		for _, text := range []string{"{", "{}"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			documents, err := Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Summarize(example().Image, InFolder(documents)); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "build again") {
				t.Errorf("%s with %q: got %v", name, text, err)
			}
		}
	}
}
