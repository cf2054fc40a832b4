// SPDX-License-Identifier: Apache-2.0

package referrers_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/referrers"
)

// TestBills: the bills of materials of an image, and none that is about another image.
func TestBills(t *testing.T) {
	f := newFolder(t)
	names := func() (list []string) {
		all, err := referrers.Place{Ref: f.dir, Built: f.image}.Bills(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			if data, err := os.ReadFile(filepath.Join(f.dir, d.Name)); err != nil || string(data) != string(d.Data) {
				t.Errorf("%s is not what is in the folder: %v", d.Name, err)
			}
			list = append(list, d.Name)
		}
		return list
	}
	if diff := cmp.Diff([]string{evidence.SPDXName, evidence.CycloneDXName}, names()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	others, err := evidence.Make(facts("sha256:" + "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range others {
		if d.Name == evidence.SPDXName {
			f.write(t, d)
		}
	}
	if diff := cmp.Diff([]string{evidence.CycloneDXName}, names()); diff != "" {
		t.Errorf("with a bill of another image: -want +got:\n%s", diff)
	}
}
