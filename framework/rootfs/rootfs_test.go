// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
)

type file struct {
	mode fs.FileMode
	data string
	link string
}

func walk(t *testing.T) (files map[string]file, listing string) {
	t.Helper()
	files = map[string]file{}
	err := Walk(func(p string, mode fs.FileMode, data []byte, link string) error {
		files[p] = file{mode, string(data), link}
		listing += fmt.Sprintf("%s %s", mode, p)
		if link != "" {
			listing += " -> " + link
		}
		listing += "\n"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, listing
}

func TestListing(t *testing.T) {
	_, got := walk(t)
	golden.Check(t, "testdata/listing.golden", got)
	if _, again := walk(t); again != got {
		t.Error("two walks differ")
	}
}

func TestEveryTableEntryIsThere(t *testing.T) {
	files, _ := walk(t)
	for p := range modes {
		if _, ok := files[p]; !ok {
			t.Errorf("the table of modes names %s, which is not there", p)
		}
	}
	for p, target := range links {
		if !strings.HasPrefix(target, "..") {
			continue
		}
		if _, ok := files[path.Join(path.Dir(p), target)]; !ok {
			t.Errorf("%s leads to %s, which is not there", p, target)
		}
	}
}

// TestNothingBelowPersistentSystemd: units and their state must not depend on
// /etc/systemd, which keeps files from an older image.
func TestNothingBelowPersistentSystemd(t *testing.T) {
	files, _ := walk(t)
	for p := range files {
		if strings.HasPrefix(p, "etc/systemd/system/") || strings.HasPrefix(p, "usr/local/") {
			t.Errorf("%s is on persistent storage", p)
		}
	}
}

func TestUnits(t *testing.T) {
	files, _ := walk(t)
	for p, f := range files {
		if path.Ext(p) != ".service" || f.link != "" {
			continue
		}
		for _, want := range []string{"[Unit]\n", "Description=", "ExecStart=/usr/bin/kairos-agent ", "TimeoutStartSec="} {
			if !strings.Contains(f.data, want) {
				t.Errorf("%s has no %q", p, want)
			}
		}
		if want := typeOf(path.Base(p)); !strings.Contains(f.data, "\nType="+want+"\n") {
			t.Errorf("%s is not Type=%s", p, want)
		}
		if slices.Contains(online, path.Base(p)) {
			continue // see TestNoBootWaitsForTheNetwork
		}
		if strings.Contains(f.data, "=network-online.target") || strings.Contains(f.data, " network-online.target\n") {
			t.Errorf("%s waits for the network", p)
		}
	}
}

// TestStages: the unit of a stage has the condition that keeps it from starting
// a process.
func TestStages(t *testing.T) {
	files, _ := walk(t)
	const dir = "usr/lib/systemd/system/"
	for _, unit := range []string{
		"kairos-stage-boot.service", "kairos-stage-network.service", "kairos-stage-network.timer",
		"kairos-stage-reconcile.service", "kairos-stage-reconcile.timer",
	} {
		stage := strings.TrimSuffix(strings.TrimPrefix(unit, "kairos-stage-"), path.Ext(unit))
		if want := "\nConditionPathExists=/run/kairos/stages/" + stage + "\n"; !strings.Contains(files[dir+unit].data, want) {
			t.Errorf("%s has no %q", unit, want)
		}
		if want := "\nExecStart=/usr/bin/kairos-agent run-stage " + stage + "\n"; path.Ext(unit) == ".service" && !strings.Contains(files[dir+unit].data, want) {
			t.Errorf("%s has no %q", unit, want)
		}
	}
}

// online are the services that wait for the network.
var online = []string{"kairos-stage-network.service", "kairos-datasource.service", "kairos-upgrade.service"}

// TestNoBootWaitsForTheNetwork: no target wants a service that waits for the
// network. Only its timer starts it, and the timer has the same condition.
func TestNoBootWaitsForTheNetwork(t *testing.T) {
	files, _ := walk(t)
	for p, f := range files {
		if slices.Contains(online, strings.TrimPrefix(f.link, "../")) {
			t.Errorf("%s makes the boot wait for the network", p)
		}
	}
	for unit, mark := range map[string]string{
		"kairos-datasource.service": "datasource.wanted", "kairos-datasource.timer": "datasource.wanted",
		"kairos-upgrade.service": "upgrade.channel", "kairos-upgrade.timer": "upgrade.channel",
	} {
		if want := "\nConditionPathExists=/run/kairos/" + mark + "\n"; !strings.Contains(files["usr/lib/systemd/system/"+unit].data, want) {
			t.Errorf("%s has no %q", unit, want)
		}
	}
}

// typeOf is oneshot for units that a boot waits for. Health checks take minutes,
// and no boot waits for them.
func typeOf(unit string) string {
	if unit == "kairos-settle.service" || unit == "kairos-trial.service" || unit == "kairos-install.service" || unit == "kairos-reset.service" {
		return "exec"
	}
	return "oneshot"
}

// TestTheWatchSurvives: a unit that restarts a hanging node must not end with it.
func TestTheWatchSurvives(t *testing.T) {
	files, _ := walk(t)
	for _, unit := range []string{"kairos-settle.service", "kairos-trial.service", "kairos-trial.timer"} {
		data := files["usr/lib/systemd/system/"+unit].data
		for _, want := range []string{"DefaultDependencies=no\n", "IgnoreOnIsolate=yes\n"} {
			if !strings.Contains(data, want) {
				t.Errorf("%s has no %s", unit, want)
			}
		}
		if strings.Contains(data, "Conflicts=") {
			t.Errorf("%s has a conflict: an orderly shutdown would end it", unit)
		}
	}
}

// TestNoConfigThatIsWrong decodes the configs that we ship with our own decoder,
// and checks that they make no user.
func TestNoConfigThatIsWrong(t *testing.T) {
	files, _ := walk(t)
	for p, f := range files {
		if path.Ext(p) != ".yaml" {
			continue
		}
		c, problems := config.Decode(p, []byte(f.data))
		if len(problems) > 0 || len(c.Users) > 0 {
			t.Errorf("%s: users %v, problems %v", p, c.Users, problems)
		}
	}
}

// TestUnitsThatProgramsName: every unit of ours that a program names exists. A
// timer has the name of its service.
func TestUnitsThatProgramsName(t *testing.T) {
	name := regexp.MustCompile(`\bkairos-[a-z-]+\.(?:service|timer)\b`)
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, unit := range name.FindAllString(string(data), -1) {
			found++
			if _, err := fs.Stat(embedded, base+"/usr/lib/systemd/system/"+unit); err != nil {
				t.Errorf("%s names %s: %v", path, unit, err)
			}
		}
		return err
	})
	if err != nil || found < 10 {
		t.Errorf("%d names found, error %v", found, err)
	}
}

// TestResetUnit: the unit goes by what a person chose in the menu of the disk.
func TestResetUnit(t *testing.T) {
	files, _ := walk(t)
	text := files["usr/lib/systemd/system/kairos-reset.service"].data
	for _, want := range []string{"ConditionPathExists=!" + layout.ModeLive.Marker(), "ConditionKernelCommandLine=" + layout.ArgReset} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("kairos-reset.service has no %s", want)
		}
	}
}

// TestInstallUnits: the units go by the mark of a live system, and by what a person chose in
// the menu of the medium.
func TestInstallUnits(t *testing.T) {
	files, _ := walk(t)
	for unit, chosen := range map[string]string{"kairos-install.service": "!" + layout.ArgInteractive, "kairos-install-interactive.service": layout.ArgInteractive} {
		for _, want := range []string{"ConditionPathExists=" + layout.ModeLive.Marker(), "ConditionKernelCommandLine=" + chosen} {
			if !strings.Contains(files["usr/lib/systemd/system/"+unit].data, "\n"+want+"\n") {
				t.Errorf("%s has no %s", unit, want)
			}
		}
	}
}
