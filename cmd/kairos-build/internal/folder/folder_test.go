// SPDX-License-Identifier: Apache-2.0

package folder

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGlob(t *testing.T) {
	for _, name := range []string{"plain", "a[1]", "a[", "star*", "what?", `back\slash`, "with space", "{x,y}"} {
		dir := filepath.Join(t.TempDir(), name)
		want := []string{filepath.Join(dir, "1.img"), filepath.Join(dir, "2.img")}
		for _, file := range append(want, filepath.Join(dir, "3.gob"), filepath.Join(filepath.Dir(dir), "star-other", "4.img")) {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Glob(dir, "*.img")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	if got, err := Glob(filepath.Join(t.TempDir(), "none"), "*"); len(got) > 0 || err != nil {
		t.Errorf("no folder: got %q, %v", got, err)
	}
}
