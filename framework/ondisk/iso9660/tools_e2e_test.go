// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package iso9660_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestXorriso: libburnia's tools see the boot equipment as we mean it.
func TestXorriso(t *testing.T) {
	path, _ := write(t, files(), options())
	out := run(t, "xorriso", "-indev", path, "-report_el_torito", "plain", "-report_system_area", "plain")
	var facts []string
	for line := range strings.Lines(out) {
		if regexp.MustCompile(`^(Volume id|El Torito|System area|ISO image size|MBR|GPT|Partition offset)`).MatchString(line) {
			facts = append(facts, strings.TrimRight(line, " \n"))
		}
	}
	golden.Check(t, "testdata/xorriso.txt", strings.Join(facts, "\n")+"\n")
	if list := run(t, "xorriso", "-indev", path, "-check_media", "--", "-find", "/", "-type", "f"); !strings.Contains(list, "'/kairos/config.space'") || strings.Contains(list, "FAILURE") {
		t.Errorf("xorriso finds:\n%s", list)
	}
}

func TestIsoinfo(t *testing.T) {
	path, _ := write(t, files(), options())
	for _, how := range []string{"-R", "-J"} {
		out := strings.ReplaceAll(run(t, "isoinfo", how, "-f", "-i", path), ";1\n", "\n")
		for _, f := range files() {
			if !strings.Contains(out, "/"+f.Path+"\n") {
				t.Errorf("isoinfo %s does not find %s:\n%s", how, f.Path, out)
			}
		}
		if got := run(t, "isoinfo", how, "-i", path, "-x", "/EFI/BOOT/BOOTX64.EFI"+map[string]string{"-J": ";1"}[how]); got != string(content("EFI/BOOT/BOOTX64.EFI", 2048)) {
			t.Errorf("isoinfo %s reads other bytes", how)
		}
	}
	if out := run(t, "isoinfo", "-d", "-i", path); !strings.Contains(out, "Volume id: COS_LIVE") || !strings.Contains(out, "Rock Ridge signatures version 1 found") || !strings.Contains(out, "Joliet with UCS level 3 found") {
		t.Errorf("isoinfo says:\n%s", out)
	}
}

func TestPartitionTable(t *testing.T) {
	path, _ := write(t, files(), options())
	if out := run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk says:\n%s", out)
	}
	if out := run(t, "blkid", "-p", path); !strings.Contains(out, `LABEL="COS_LIVE"`) || !strings.Contains(out, `TYPE="iso9660"`) {
		t.Errorf("blkid says:\n%s", out)
	}
}

// TestMount: the kernel reads the device and its partition.
func TestMount(t *testing.T) {
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "iso9660") {
		t.Skip("SKIPPED, NOT PROVEN: this kernel has no iso9660; the machines that start from an ISO mount it")
	}
	path, _ := write(t, files(), options())
	for offset, options := range map[string]string{"whole": "ro,loop", "partition": "ro,loop,offset=32768", "Joliet": "ro,loop,norock"} {
		dir := t.TempDir()
		run(t, "mount", "-t", "iso9660", "-o", options, path, dir)
		data, err := os.ReadFile(filepath.Join(dir, "kairos/VMLINUZ"))
		config, configErr := os.ReadFile(filepath.Join(dir, "config.yaml"))
		run(t, "umount", dir)
		if err != nil || configErr != nil || string(data) != string(content("kairos/VMLINUZ", 3*mib)) || len(config) != 300 {
			t.Errorf("%s: %d bytes, %v, %d bytes, %v", offset, len(data), err, len(config), configErr)
		}
	}
}
