// SPDX-License-Identifier: Apache-2.0

package installed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/netconfig"
)

func TestConfig(t *testing.T) {
	good := func() labtest.Node {
		return labtest.Node{
			"cat " + lab.ConfigFile:       labtest.Says(lab.ConfigWords),
			"id " + lab.TestUser:          labtest.Says("uid=1000\n"),
			"hostname":                    labtest.Says("edge-01af\n"),
			"systemctl is-system-running": labtest.Says("running\n"),
		}
	}
	for _, test := range []struct{ name, command, answer, want string }{
		{"all", "hostname", "edge-01af\n", ""},
		{"another file", "cat " + lab.ConfigFile, "x", `has "x"`},
		{"a template that was not filled in", "hostname", hostname + "\n", "must follow"},
		{"the name of the image", "hostname", "debian\n", `its name is "debian"`},
		{"a unit failed", "systemctl is-system-running", "starting\n", `the system is "starting"`},
	} {
		node := good()
		node[test.command] = labtest.Says(test.answer)
		tale := &story{Machine: &lab.Machine{Guest: &lab.Guest{Runner: node}}}
		_, err := tale.config(t.Context())
		if labtest.Expect(t, err, test.want); t.Failed() {
			t.Fatal(test.name)
		}
	}
	node := good()
	delete(node, "id "+lab.TestUser)
	_, err := (&story{Machine: &lab.Machine{Guest: &lab.Guest{Runner: node}}}).config(t.Context())
	labtest.Expect(t, err, "id "+lab.TestUser)
}

// TestDrive: what the drive says is right, except for what a hypervisor always says.
func TestDrive(t *testing.T) {
	c, problems := config.Decode("user-data", []byte("#cloud-config\n"+"hostname: \""+hostname+"\"\n"+ownKeys))
	if c == nil || c.Install.Auto == nil || !*c.Install.Auto || c.Hostname != hostname {
		t.Errorf("got %+v, %v", c, problems)
	}
	if _, problems := netconfig.Decode("network-config", []byte(networkConfig)); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestJudgeReboot(t *testing.T) {
	const first, again = "kairos: installing, as the config says", "kairos: starting the installed disk (hd0)"
	for _, test := range []struct{ before, after, want string }{
		{first, again, ""},
		{first, "kairos: starting slot a", "went past the disk"},
		{first, again + first, "must say once"},
		{"", again, "must say once"},
	} {
		labtest.Expect(t, judgeReboot([]byte(test.before), []byte(test.after)), test.want)
	}
}

func TestApplies(t *testing.T) {
	dir := t.TempDir()
	l := &lab.Lab{Options: lab.Options{Dir: dir}}
	if Applies(l) || Applies(&lab.Lab{}) {
		t.Error("there is no medium")
	}
	if err := os.WriteFile(filepath.Join(dir, lab.MediumName), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if !Applies(l) {
		t.Error("there is a medium")
	}
}

func TestPartitions(t *testing.T) {
	if got := partitions(); !strings.HasPrefix(got, "bios efi boot-a root-a ") || !strings.HasSuffix(got, " oem persistent") {
		t.Errorf("got %q", got)
	}
}
