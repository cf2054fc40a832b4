// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// inFolder writes files below the current folder, which is a new one.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExtends reads a flavor with every key.
func TestExtends(t *testing.T) {
	inFolder(t, map[string]string{
		"site/flavor.yaml": `name: edge
extends: debian-13
packages:
  add: [htop]
  remove: [nano, firmware-linux-free]
modes: {etc/site.key: "0600"}
run: [one, two]
mount_points: [/data]
cmdline:
  add: [mitigations=auto]
  remove: [net.ifnames=1, console=tty1]
model: cloud
kubernetes: {k3s: v1.34, airgap: true}
cloud_configs: [a.yaml]
registry: registry.example.org/edge/site
`,
		"site/files/etc/site.key": "x", "site/a.yaml": "hostname: a\n",
	})
	f, err := Open("./site")
	if err != nil {
		t.Fatal(err)
	}
	base, err := Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "edge" || f.Title != "edge on Debian 13 (trixie)" || f.ID != "debian" || f.SupportEnd != base.SupportEnd {
		t.Errorf("got %s, %s, %s, %s", f.Name, f.Title, f.ID, f.SupportEnd)
	}
	want := Additions{
		Packages: []string{"htop"}, Removed: []string{"nano", "firmware-linux-free"}, Run: []string{"one", "two"},
		Overlays: []Overlay{{Dir: "site/files", Modes: map[string]uint32{"etc/site.key": 0o600}}},
	}
	if diff := cmp.Diff(want, f.Added); diff != "" {
		t.Errorf("additions (-want +got):\n%s", diff)
	}
	defaults := Defaults{Model: "cloud", K3s: "v1.34", Airgap: true, CloudConfigs: []string{"site/a.yaml"}, Registry: "registry.example.org/edge/site"}
	if diff := cmp.Diff(defaults, f.Default); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if slices.Contains(f.Packages, "nano") || !slices.Contains(base.Packages, "nano") || len(f.Models["generic"].Packages) != 0 {
		t.Errorf("nano and the firmware are removed from the flavor alone: %v", f.Packages)
	}
	if line := f.Models["cloud"].Cmdline; !strings.HasSuffix(line, " mitigations=auto") || strings.Contains(line, "net.ifnames") {
		t.Errorf("kernel arguments: %s", line)
	}
	if lines := [2]string{f.Boot["amd64"].Cmdline, base.Boot["amd64"].Cmdline}; lines != [2]string{"console=ttyS0,115200n8", "console=tty1 console=ttyS0,115200n8"} {
		t.Errorf("kernel arguments of the architecture: %q", lines)
	}
	if got := f.Place("packages.add", "htop"); got != "site/flavor.yaml:4:9" {
		t.Errorf("htop is at %q", got)
	}
	if got := f.Place("packages", "systemd"); !strings.HasPrefix(got, "flavors/debian-13/flavor.yaml:") {
		t.Errorf("systemd is at %q", got)
	}
	sources := f.Sources()
	if len(sources) != 2 || sources[0].Name != "debian-13" || sources[0].Digest != base.Digest() || sources[1].Name != "edge" || f.Digest() != sources[1].Digest {
		t.Errorf("the flavor is made of %v", sources)
	}
	if keys, err := f.Keyring(); err != nil || len(keys) < 1000 {
		t.Errorf("the keyring has %d bytes, %v", len(keys), err)
	}
}

// TestExtendsAnother: a chain of flavors adds up, the first first.
func TestExtendsAnother(t *testing.T) {
	inFolder(t, map[string]string{
		"base/flavor.yaml": "name: base\nextends: debian-12\npackages: {add: [htop, jo]}\nrun: [one]\n", "base/files/a": "1",
		"site/flavor.yaml": "name: site\nextends: ../base\npackages: {remove: [jo]}\nrun: [two]\ntitle: Mine\n", "site/files/b": "2",
	})
	f, err := Open("site/flavor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if f.Title != "Mine" || f.Release != "12" || !slices.Equal(f.Added.Packages, []string{"htop"}) || !slices.Equal(f.Added.Run, []string{"one", "two"}) {
		t.Errorf("got %s, %s, %v, %v", f.Title, f.Release, f.Added.Packages, f.Added.Run)
	}
	if o := f.Added.Overlays; len(o) != 2 || o[0].Dir != "base/files" || o[1].Dir != "site/files" {
		t.Errorf("overlays: %v", o)
	}
	if s := f.Sources(); len(s) != 3 || s[0].Name != "debian-12" || s[1].Name != "base" {
		t.Errorf("made of %v", s)
	}
}

// TestSiteProblems: every mistake at once, with line and column.
func TestSiteProblems(t *testing.T) {
	_, err := Open("./testdata/site")
	if err == nil {
		t.Fatal("a broken flavor was accepted")
	}
	golden.Check(t, "testdata/site.golden", err.Error()+"\n")
}

func TestBadExtends(t *testing.T) {
	inFolder(t, map[string]string{
		"a/flavor.yaml":    "name: a\nextends: ../b\n",
		"b/flavor.yaml":    "name: b\nextends: ../c/flavor.yaml\n",
		"c/flavor.yaml":    "name: c\nextends: ../a\n",
		"self/flavor.yaml": "name: self\nextends: ./\n",
		"typo/flavor.yaml": "name: typo\nextends: debain-13\n",
		"gone/flavor.yaml": "name: gone\nextends: ../nowhere\n",
		"none/flavor.yaml": "name: none\nextends:\n",
		"file/flavor.yaml": "name: file\nextends: debian-13\n", "file/files": "x",
	})
	for ref, want := range map[string]string{
		"./a":    "extends: a circle: a/flavor.yaml extends b/flavor.yaml extends c/flavor.yaml extends a/flavor.yaml; let the last of them extend a built-in flavor, such as debian-13",
		"./self": "self/flavor.yaml:2:10: extends: a circle: self/flavor.yaml extends self/flavor.yaml",
		"./typo": `typo/flavor.yaml:2:10: extends: unknown flavor "debain-13"; did you mean debian-13?`,
		"./gone": "gone/flavor.yaml:2:10: extends: reading a flavor of your own: open ./nowhere: no such file or directory",
		"./none": "none/flavor.yaml:2:9: warning: extends: has no value",
		"./file": "file/flavor.yaml:2:10: extends: file/files is not a folder",
	} {
		if _, err := Open(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v\nwant %s", ref, err, want)
		}
	}
}

// TestCircleFromElsewhere: a circle is found whatever the paths look like.
func TestCircleFromElsewhere(t *testing.T) {
	inFolder(t, map[string]string{"a/flavor.yaml": "name: a\nextends: ../b/./\n", "b/flavor.yaml": "name: b\nextends: ../a/.\n"})
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"./a", dir + "/a", "b/../a/flavor.yaml"} {
		if _, err := Open(ref); err == nil || !strings.Contains(err.Error(), "extends: a circle: ") {
			t.Errorf("%s: got %v, want a circle", ref, err)
		}
	}
}

func FuzzSite(f *testing.F) {
	f.Add([]byte("name: a\nextends: debian-13\npackages: {add: [x], remove: [nano]}\n"))
	f.Add([]byte("name: a\nextends: debian-13\nmodes: {a: '1'}\ncmdline: {remove: [x]}\nkubernetes: {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		flavor, err := Parse("fuzz.yaml", append([]byte("extends: debian-13\n"), data...))
		if (flavor == nil) == (err == nil) {
			t.Errorf("flavor %v with error %v", flavor, err)
		}
	})
}
