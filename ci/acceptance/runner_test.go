// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"github.com/kairos-build/kairos-build/ci/acceptance/faults"
	"github.com/kairos-build/kairos-build/ci/acceptance/life"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

func plan(o Options, other v1.Image) (names []string) {
	r := &runner{Options: o, lab: &lab.Lab{Images: &lab.Images{Other: other}}}
	for _, j := range r.wanted() {
		name, _, _ := strings.Cut(j.name, "@")
		names = append(names, name+" "+string(j.boot))
	}
	return names
}

// TestMachinesThatDoNotRun: a machine that the options or the disk leave out is an error,
// and not a test that passes because it does nothing.
func TestMachinesThatDoNotRun(t *testing.T) {
	for name, o := range map[string]Options{
		"kubernetes": {Options: lab.Options{Boots: qemu.Boots()}}, "recovery": {Options: lab.Options{Boots: qemu.Boots()}, Short: true}, "bios": {Options: lab.Options{Boots: []qemu.Boot{qemu.UEFI}}},
	} {
		o.Machines = []string{name}
		r := &runner{Options: o, lab: &lab.Lab{Images: &lab.Images{}}}
		if err := r.checkJobs(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("machine %q does not run", name)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	cluster := kubernetes.Image{}
	var err error
	if cluster.Version, err = release.Parse("v1.34.1+k3s1"); err != nil {
		t.Fatal(err)
	}
	r := &runner{Options: Options{Options: lab.Options{Boots: qemu.Boots()}, Short: true, Machines: []string{"kubernetes", "upgrade"}}, lab: &lab.Lab{Images: &lab.Images{}, Cluster: cluster}}
	if err := r.checkJobs(); err != nil {
		t.Error(err)
	}
}

// An unwatched is an observer of no machine.
type unwatched struct{ Observer }

func (unwatched) Started(string) {}
func (unwatched) Ended(string)   {}

// TestNoMachineBegins: after an interruption no machine begins, and the report names each.
func TestNoMachineBegins(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	tell := func(_ context.Context, m *lab.Machine) {
		m.Record("boot", "", 0, "", nil)
		interrupt()
	}
	r := &runner{Options: Options{Observer: unwatched{}}, lab: &lab.Lab{Places: make(lab.Places, 1)}}
	var got []string
	for _, m := range r.runAll(ctx, []job{{name: "first", tell: tell}, {name: "second", tell: tell}}) {
		for _, c := range m.Results() {
			got = append(got, fmt.Sprintln(m.Name, c.Name, c.Status, c.Message))
		}
	}
	if want := []string{"first boot pass \n", "second begin skip interrupted\n"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNoTPM: a test of which a machine needs a TPM does not begin without one.
func TestNoTPM(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, lab.MediumName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := func() (string, error) { return "", qemu.ErrNoTPM }
	for name, tt := range map[string]struct {
		options Options
		find    func() (string, error)
		want    string
	}{
		"everything":   {Options{}, missing, `machine "encrypted": no swtpm in PATH`},
		"every":        {Options{Every: true, Machines: []string{"encrypted"}}, missing, "apt-get install swtpm"},
		"short":        {Options{Short: true}, missing, ""},
		"another":      {Options{Machines: []string{"installed"}}, missing, ""},
		"one is there": {Options{}, func() (string, error) { return "/usr/bin/swtpm", nil }, ""},
	} {
		tt.options.Options = lab.Options{Boots: qemu.Boots(), Dir: dir}
		r := &runner{Options: tt.options, lab: &lab.Lab{Options: tt.options.Options, Images: &lab.Images{}}}
		if labtest.Expect(t, r.checkTPM(tt.find), tt.want); t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestStoryThatNeedsUEFI: it is told under the next firmware that is no BIOS, and under each
// firmware once.
func TestStoryThatNeedsUEFI(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, lab.MediumName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		boots []qemu.Boot
		every bool
		want  []string
	}{
		"all":           {qemu.Boots(), false, []string{"large-sectors uefi"}},
		"every":         {qemu.Boots(), true, []string{"large-sectors uefi", "large-sectors secureboot"}},
		"secureboot":    {[]qemu.Boot{qemu.SecureBoot}, false, []string{"large-sectors secureboot"}},
		"bios":          {[]qemu.Boot{qemu.BIOS}, false, nil},
		"bios and last": {[]qemu.Boot{qemu.BIOS, qemu.SecureBoot}, false, []string{"large-sectors secureboot"}},
	} {
		r := &runner{
			Options: Options{Options: lab.Options{Boots: tt.boots}, Every: tt.every, Machines: []string{"large-sectors"}},
			lab:     &lab.Lab{Options: lab.Options{Dir: dir}, Images: &lab.Images{}},
		}
		var got []string
		for _, j := range r.wanted() {
			kind, _, _ := strings.Cut(j.name, "@")
			got = append(got, kind+" "+string(j.boot))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestLongLife: the node under the first firmware lives long, also where no other machine
// begins with it.
func TestLongLife(t *testing.T) {
	tests := map[string]struct {
		options Options
		images  *lab.Images
		want    life.Life
	}{
		"first firmware":  {images: &lab.Images{}, want: life.Life{Shared: true, Long: true}},
		"one machine":     {want: life.Life{Long: true}},
		"no scenarios":    {options: Options{NoScenarios: true}},
		"other firmware":  {options: Options{Options: lab.Options{Boots: []qemu.Boot{qemu.UEFI}}}},
		"every firmware":  {options: Options{Every: true, Options: lab.Options{Boots: []qemu.Boot{qemu.UEFI}}}, want: life.Life{Long: true}},
		"the short tests": {options: Options{Short: true}, want: life.Life{Long: true, Short: true}},
	}
	for name, test := range tests {
		test.options.Boots = append(test.options.Boots, qemu.BIOS)
		r := &runner{Options: test.options, lab: &lab.Lab{Images: test.images}}
		if got := r.life(qemu.BIOS); got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

// TestMachines: which machines each kind of test leaves out or repeats.
func TestMachines(t *testing.T) {
	all := len(allStories()) - 6 + len(faults.All()) + 1 // without the other release, the two of a cluster and the three of the medium; with the flipped byte
	tests := []struct {
		name     string
		options  Options
		other    v1.Image
		count    int
		has, not []string
	}{
		{"everything", Options{Options: lab.Options{Boots: qemu.Boots()}}, nil, all + 3, []string{"upgrade bios", "uefi uefi", "fault-softdog bios", "damaged bios"}, []string{"release secureboot", "upgrade uefi"}},
		{"another release", Options{Options: lab.Options{Boots: qemu.Boots()}}, empty.Image, all + 4, []string{"release secureboot"}, []string{"release bios"}},
		{"short", Options{Options: lab.Options{Boots: qemu.Boots()}, Short: true}, nil, 2 + 2 + 4 + 1, []string{"upgrade bios", "config bios", "secureboot secureboot", "fault-rot bios"}, []string{"uefi uefi", "recovery bios", "fault-softdog bios"}},
		{"every firmware", Options{Options: lab.Options{Boots: qemu.Boots()}, Every: true}, empty.Image, 3*(all+2) - 2, []string{"upgrade uefi", "release bios", "release secureboot", "fault-hang secureboot", "damaged uefi", "fault-softdog bios"}, []string{"fault-softdog uefi"}},
		{"one machine", Options{Options: lab.Options{Boots: qemu.Boots()}, Every: true, Machines: []string{"upgrade"}}, nil, 3, []string{"upgrade bios", "upgrade uefi", "upgrade secureboot"}, nil},
		{"one firmware that is not the first", Options{Options: lab.Options{Boots: []qemu.Boot{qemu.UEFI}}, Short: true}, nil, 2 + 1 + 4 + 1, []string{"uefi uefi", "fault-hang uefi"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := plan(tt.options, tt.other)
			if len(got) != tt.count {
				t.Errorf("%d machines, want %d: %q", len(got), tt.count, got)
			}
			for _, name := range tt.has {
				if !slices.Contains(got, name) {
					t.Errorf("no machine %s in %q", name, got)
				}
			}
			for _, name := range tt.not {
				if slices.Contains(got, name) {
					t.Errorf("machine %s must not be there", name)
				}
			}
			if sorted := slices.Sorted(slices.Values(got)); len(slices.Compact(sorted)) != len(got) {
				t.Errorf("a machine is there twice: %q", got)
			}
		})
	}
}

// TestShortHasEveryWayBack: a node comes back from a fault in one of these ways, and the
// short test has each way.
func TestShortHasEveryWayBack(t *testing.T) {
	ways := map[string]bool{}
	for _, f := range faults.All() {
		if f.Short {
			ways[f.Name] = true
		}
	}
	// The initramfs; a watchdog; the agent; kernel panics with GRUB's count.
	for _, way := range []string{"no-root", "hang", "health", "rot"} {
		if !ways[way] {
			t.Errorf("the short test lacks the fault %s", way)
		}
	}
}

// TestFirmware checks the machines of a test with only one firmware.
func TestFirmware(t *testing.T) {
	r := &runner{Options: Options{Options: lab.Options{Boots: []qemu.Boot{qemu.SecureBoot}}}, lab: &lab.Lab{Images: &lab.Images{}}}
	got := map[string]qemu.Boot{}
	for _, j := range r.machines() {
		got[j.name] = j.boot
	}
	if name := r.machines()[0].name; name != "fault-hang" {
		t.Errorf("%s begins first, and not a machine that waits for its watchdog", name)
	}
	for machine, want := range map[string]qemu.Boot{"fault-hang": qemu.SecureBoot, "fault-softdog": qemu.BIOS} {
		if got[machine] != want {
			t.Errorf("%s boots with %q, want %q", machine, got[machine], want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	_, err := Run(t.Context(), Options{Options: lab.Options{Dir: t.TempDir()}})
	labtest.Expect(t, err, "nothing to test")
}

func TestIsStandIn(t *testing.T) {
	for text, want := range map[string]bool{"ID=ubuntu\n": false, "ID=ubuntu\nVARIANT_ID=stand-in\n": true, "": false} {
		if got := isStandIn(fstest.MapFS{"usr/lib/os-release": {Data: []byte(text)}}); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
