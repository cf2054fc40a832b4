// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/lab"
)

// A sample is the folder of a build that a test makes.
type sample struct {
	flavor, kubernetes, version, date string
	ready                             float64
	changed                           int64 // bytes of the layer that differs from other versions
	failing                           bool
	untested                          bool
	attested                          bool
	accelerator                       string
}

func digestOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

func (s sample) image() string { return digestOf(s.flavor + s.kubernetes + s.version) }

// write writes what a build and a test leave in a folder.
func (s sample) write(t *testing.T, dir string) {
	t.Helper()
	layers := []Layer{{digestOf("base " + s.flavor), 180 << 20}, {digestOf(s.flavor + s.version), s.changed}}
	if s.kubernetes != "" {
		layers = append(layers, Layer{digestOf(s.kubernetes), 64 << 20})
	}
	var size int64
	for _, l := range layers {
		size += l.Size
	}
	writeJSON(t, dir, "build.json", map[string]any{
		"format": 2, "flavor": s.flavor, "version": s.version, "architecture": "amd64", "model": "generic", "kubernetes": s.kubernetes,
		"created": s.date + "T08:00:00Z", "image": map[string]any{"digest": s.image(), "size": size, "layers": layers},
	})
	writeFile(t, dir, "provenance.json", "{}\n")
	if s.untested {
		return
	}
	if s.attested {
		writeFile(t, dir, "test-result.json", "{}\n")
		writeFile(t, dir, "test-result.json.sigstore.json", "{}\n")
	}
	made := s.report()
	for _, c := range made.Checks {
		if c.Console != "" {
			writeFile(t, dir, c.Console, "kairos: ready slot=a mode=active version="+s.version+"\n")
		}
	}
	writeJSON(t, dir, "test.json", made)
}

func (s sample) report() *report.Report {
	r := &report.Report{
		Format: report.Format, Disk: "disk.raw", Image: s.image(), Version: s.version, Date: s.date, QEMU: "10.0.8", Accelerator: s.accelerator, KVM: "works",
		Boots: []lab.Boot{{Machine: "bios", ReadySeconds: s.ready}, {Machine: "uefi", ReadySeconds: s.ready + 1}, {Machine: "uefi", ReadySeconds: s.ready - 1}},
	}
	r.Checks = append(r.Checks, lab.Result{Machine: "image", Name: "hash-tree", Title: "every block of the root matches its hash", Status: lab.Pass, Seconds: .9})
	for _, m := range []string{"bios", "uefi", "secureboot", "upgrade", "fault-panic", "fault-hang", "damaged"} {
		for _, c := range [][2]string{{"ready", "says that it is ready"}, {"units", "has no failed systemd unit"}, {"write-usr", "a write to /usr fails"}} {
			r.Checks = append(r.Checks, lab.Result{Machine: m, Name: c[0], Title: c[1], Status: lab.Pass, Seconds: 1.25, Console: "test-logs/" + m + ".log"})
		}
	}
	if s.failing {
		bad := &r.Checks[len(r.Checks)-2]
		bad.Status, bad.Message = lab.Fail, "systemctl --failed: <b>kubelet.service</b> | x\nconsole log: test-logs/damaged.log"
		r.Checks[len(r.Checks)-1].Status, r.Checks[len(r.Checks)-1].Message = lab.Skip, "the node did not come up"
	}
	r.Settle()
	return r
}

func writeJSON(t *testing.T, dir, name string, document any) {
	t.Helper()
	data, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, name, string(data))
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	to := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fewSizes are the sizes of some packages, and of many small ones.
func fewSizes(context.Context, string, string) ([]Package, error) {
	all := []Package{
		{"linux-image-6.12.57+deb13-amd64", 98 << 20}, {"", 61 << 20}, {"systemd", 11 << 20}, {"libc6", 13 << 20}, {"firmware-linux-free", 9 << 20},
		{"perl-base", 8 << 20}, {"coreutils", 18 << 20}, {"util-linux", 5 << 20}, {"bash", 7 << 20}, {"openssl", 4 << 20}, {"libssl3t64", 6 << 20},
		{"udev", 10 << 20}, {"dpkg", 6 << 20}, {"apt", 4 << 20}, {"passwd", 3 << 20}, {"e2fsprogs", 2 << 20}, {"openssh-server", 2 << 20}, {"grub-efi-amd64-signed", 4 << 20},
	}
	for i := range 120 {
		all = append(all, Package{fmt.Sprintf("libsmall%d", i), int64(20+i*3) << 10})
	}
	return all, nil
}

// examples writes folders with several flavors and versions, and returns the folder above
// them.
func examples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i, day := range []string{"2026-10-03", "2026-10-17", "2026-11-07", "2026-11-28"} {
		at := float64(i)
		version := fmt.Sprintf("v1.%d.0", i)
		for name, s := range map[string]sample{
			"debian-12":    {flavor: "debian-12", ready: 24.5 - at/3, accelerator: "tcg", attested: i == 3},
			"debian-13":    {flavor: "debian-13", ready: 12.3 + at/5, accelerator: []string{"tcg", "kvm"}[i/2], attested: true},
			"debian-13-k":  {flavor: "debian-13", kubernetes: "v1.34.1+k3s1", ready: 31 - at, accelerator: "tcg", failing: i == 3},
			"ubuntu-24.04": {flavor: "ubuntu-24.04", untested: true},
		} {
			s.version, s.date, s.changed = version, day, (12<<20)+int64(i*i)<<19
			s.write(t, filepath.Join(dir, version, name))
			if name != "ubuntu-24.04" {
				writeFile(t, filepath.Join(dir, version, name), "image/index.json", "{}")
			}
		}
	}
	return dir
}

func titles(machine string) string {
	return map[string]string{
		"image": "the image, without booting it", "bios": "BIOS", "uefi": "UEFI", "secureboot": "UEFI + Secure Boot", "upgrade": "upgrades, rollback, recovery and reset over a registry that fails",
		"damaged": "one flipped byte", "fault-panic": "a new slot whose kernel panics", "fault-hang": "a new slot that hangs",
	}[machine]
}

func exampleOptions(dirs ...string) Options {
	return Options{Dirs: dirs, Title: titles, Sizes: fewSizes}
}

func read(t *testing.T, o Options) *Report {
	t.Helper()
	r, err := Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
