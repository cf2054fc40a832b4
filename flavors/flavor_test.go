// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func TestEveryFlavorLoads(t *testing.T) {
	for _, name := range Names() {
		flavor, err := Load(name)
		if err != nil {
			t.Errorf("Load(%s): %v", name, err)
			continue
		}
		if flavor.Name != name {
			t.Errorf("flavor in folder %s is called %s", name, flavor.Name)
		}
		if _, err := flavor.Keyring(); err != nil {
			t.Error(err)
		}
		if len(flavor.Base.Archive.Keys) == 0 {
			t.Errorf("flavor %s names no key of its archive", name)
		}
		if _, ok := flavor.Models["generic"]; !ok {
			t.Errorf("flavor %s has no model generic", name)
		}
	}
}

func TestLoadSuggestsTheNearestName(t *testing.T) {
	_, err := Load("debain-13")
	if !errors.Is(err, ErrUnknown) {
		t.Fatalf("got %v, want ErrUnknown", err)
	}
	want := `unknown flavor "debain-13"; did you mean debian-13? (there are: ` + strings.Join(Names(), ", ") + `)`
	if got := err.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestProblems reads one file with every kind of mistake: the golden file is
// what a person sees.
func TestProblems(t *testing.T) {
	data, err := os.ReadFile("testdata/broken.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("broken.yaml", data)
	if err == nil {
		t.Fatal("a broken flavor was accepted")
	}
	got := err.Error() + "\n"
	golden.Check(t, "testdata/broken.golden", got)
}

func TestParseRefusesWhatIsNoMapping(t *testing.T) {
	for name, text := range map[string]string{
		"empty":  "",
		"list":   "- a\n",
		"text":   "hello\n",
		"broken": "a: [\n",
	} {
		if _, err := Parse("x.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "x.yaml") {
			t.Errorf("%s: got %v, want an error that names the file", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		data, err := embedded.ReadFile(name + "/flavor.yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		flavor, err := Parse("fuzz.yaml", data)
		if (flavor == nil) == (err == nil) {
			t.Errorf("flavor %v with error %v", flavor, err)
		}
	})
}
