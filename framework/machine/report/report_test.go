// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

func sample() *Report {
	_, problems := config.Decode("/oem/90.yaml", []byte("users:\n- name: ada\n  paswd: geheim\n"))
	return &Report{
		Milliseconds: 1.5,
		Files:        []File{{Name: "/oem/90.yaml", Used: true, LastGood: true, Problems: problems}, {Name: "/oem/91.yaml", Used: true}},
		Items: []Item{
			{Kind: "file", Name: "/etc/a", Outcome: Changed, Origin: "/oem/91.yaml:2:3"},
			{Kind: "file", Name: "/usr/b", Outcome: Failed, Message: "read-only", Origin: "/oem/91.yaml:4:3"},
		},
	}
}

func TestLines(t *testing.T) {
	want := []string{
		`/oem/90.yaml:3:3: users[0].paswd: unknown key; did you mean "passwd"?`,
		"/oem/90.yaml: used without users[0].paswd, because of the errors above; users and keys are those of its last correct version",
		"/oem/91.yaml:4:3: file /usr/b: failed: read-only",
	}
	if diff := cmp.Diff(want, sample().Lines()); diff != "" {
		t.Errorf("lines differ (-want +got):\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	root := tree.Root{Dir: t.TempDir(), KeepOwner: true}
	if _, err := Read(root); !errors.Is(err, ErrNone) {
		t.Errorf("without a report: %v", err)
	}
	want := sample()
	if err := want.Write(root); err != nil {
		t.Fatal(err)
	}
	if want.Files[1].Problems == nil {
		t.Error("a list is null")
	}
	got, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(config.Problem{})); diff != "" {
		t.Errorf("report differs (-want +got):\n%s", diff)
	}
}

// TestDocument fixes the form of the document, which other programs read.
func TestDocument(t *testing.T) {
	root := tree.Root{Dir: t.TempDir(), KeepOwner: true}
	if err := sample().Write(root); err != nil {
		t.Fatal(err)
	}
	data, err := root.Read(Path)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "version": 1,
  "ok": false,
  "milliseconds": 1.5,
  "files": [
    {
      "name": "/oem/90.yaml",
      "used": true,
      "lastGood": true,
      "problems": [
        {
          "file": "/oem/90.yaml",
          "line": 3,
          "column": 3,
          "path": "users[0].paswd",
          "message": "unknown key",
          "suggestion": "did you mean \"passwd\"?",
          "severity": "error",
          "costs": [
            "users[0].paswd"
          ]
        }
      ]
    },
    {
      "name": "/oem/91.yaml",
      "used": true,
      "problems": []
    }
  ],
  "items": [
    {
      "kind": "file",
      "name": "/etc/a",
      "outcome": "changed",
      "origin": "/oem/91.yaml:2:3"
    },
    {
      "kind": "file",
      "name": "/usr/b",
      "outcome": "failed",
      "message": "read-only",
      "origin": "/oem/91.yaml:4:3"
    }
  ]
}
`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("document differs (-want +got):\n%s", diff)
	}
}

func TestChanged(t *testing.T) {
	r := sample()
	if !r.Changed() {
		t.Error("a changed item is not seen")
	}
	r.Items[0].Outcome = Unchanged
	if r.Changed() {
		t.Error("a failed item is no change")
	}
}
