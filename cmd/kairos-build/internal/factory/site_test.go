// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/site"
)

// writeSite makes a flavor that extends debian-13 in a new current folder.
func writeSite(t *testing.T, keys string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"site/flavor.yaml": "name: edge\nextends: debian-13\n" + keys, "site/files/etc/motd": "hello\n"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSiteIsBuilt: additions of the flavor and of the options are in the inputs, in the
// evidence, and in the key.
func TestSiteIsBuilt(t *testing.T) {
	w := newWorld(t)
	writeSite(t, "packages: {add: [htop]}\nrun: [one]\nregistry: registry.example.org/edge/site\n")
	w.options.Flavor, w.options.Packages, w.options.Run = "./site", []string{"jo"}, []string{"two"}
	r, got := w.build(t)
	if !slices.Contains(got, "write site-packages") || r.Flavor != "edge" || r.Registry != "registry.example.org/edge/site" {
		t.Errorf("%s, %s, steps %v", r.Flavor, r.Registry, got)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(r.Inputs, func(i Input) bool { return i.Name == name })
	}
	if !has("site") || !has("site-packages") {
		t.Errorf("inputs: %v", r.Inputs)
	}
	text := string(read(t, filepath.Join(r.Dir, evidence.ProvenanceName)))
	for _, want := range []string{`"htop"`, `"jo"`, `"one"`, `"two"`, `"/etc/motd"`, `"name": "flavor debian-13"`, `"name": "file /etc/motd"`, digestOf([]byte("hello\n"))} {
		if !strings.Contains(text, want) {
			t.Errorf("the provenance does not name %s", want)
		}
	}
	if sbom := string(read(t, filepath.Join(r.Dir, evidence.CycloneDXName))); !strings.Contains(sbom, `"pkg:generic/edge@v1.0.0#etc/motd"`) {
		t.Error("the bill of materials does not name /etc/motd")
	}
	if again, got := w.build(t); again.Image.Digest != r.Image.Digest || slices.Contains(got, "solve") {
		t.Errorf("the same site was built again: %v", got)
	}
	if err := os.WriteFile("site/files/etc/motd", []byte("other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if other, got := w.build(t); other.Image.Digest == r.Image.Digest || slices.Contains(got, "write packages") || !slices.Contains(got, "solve") {
		t.Errorf("another file gives the same image, or more than that: %v", got)
	}
}

// TestSiteLock: a lock has the packages of the site, and one without them does not fit.
func TestSiteLock(t *testing.T) {
	w := newWorld(t)
	writeSite(t, "packages: {add: [htop]}\n")
	w.options.Flavor = "./site"
	lockIt := func(packages ...string) {
		t.Helper()
		_, err := Lock(t.Context(), LockOptions{Flavor: "./site", Update: true, Packages: packages, Families: w.options.Families, State: w.options.State, Progress: w.options.Progress})
		if err != nil {
			t.Fatal(err)
		}
	}
	lockIt()
	w.options.Lock = "site/lock.yaml"
	if _, got := w.build(t); !slices.Contains(got, "locked lock.yaml") || !slices.Contains(got, "write site-packages") {
		t.Errorf("steps: %v", got)
	}
	w.options.Packages = []string{"jo"}
	_, err := Build(t.Context(), w.options)
	if want := "the flavor has the package of the input site-packages jo, the lock has not: `kairos-build lock --update ./site --package jo` makes it fit"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	lockIt("jo")
	w.build(t)
	w.options.Packages = nil
	writeSite(t, "")
	w.options.Lock = "" // a new folder has no lock
	lockIt("jo")
	w.options.Lock = "site/lock.yaml"
	_, err = Build(t.Context(), w.options)
	if want := "the lock has the input site-packages (jo), the flavor has not"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestRemovedPackages: a package that is removed and still in the image is an error.
func TestRemovedPackages(t *testing.T) {
	w := newWorld(t)
	writeSite(t, "packages:\n  remove: [nano]\n")
	w.options.Flavor = "./site"
	w.build(t)
	w.options.Packages = []string{"nano"}
	_, err := Build(t.Context(), w.options)
	if want := `site/flavor.yaml:4:12: packages.remove: "nano" is in the image still`; !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestBadAdditions: what is wrong with files and mount points is said at once, before
// anything is asked for.
func TestBadAdditions(t *testing.T) {
	w := newWorld(t)
	w.options.Files = []site.File{{From: "nowhere", To: "/etc/x"}}
	w.options.Overlays = []string{"nofolder"}
	w.options.MountPoints = []string{"data"}
	_, err := Build(t.Context(), w.options)
	for _, want := range []string{"--file nowhere:/etc/x: there is no file nowhere", "overlay nofolder: there is no such folder", `mount point "data"`} {
		if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	if len(w.events.list) > 0 {
		t.Errorf("the build asked for %v", w.events.list)
	}
}
