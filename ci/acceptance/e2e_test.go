// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package acceptance

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

// envDisk names the tested disk. envBoots, if set, lists the firmwares, separated by
// commas.
const (
	envDisk  = "KAIROS_E2E_DISK"
	envBoots = "KAIROS_E2E_BOOTS"
)

func digest(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return string(h.Sum(nil))
}

// TestDisk runs all machines and checks that the artifact is unchanged.
func TestDisk(t *testing.T) {
	disk := os.Getenv(envDisk)
	if disk == "" {
		t.Skipf("SKIPPED, NOT PROVEN: set %s", envDisk)
	}
	before := digest(t, disk)
	dir := t.TempDir()
	if keep := os.Getenv("KAIROS_E2E_RESULTS"); keep != "" {
		dir = keep
	}
	o := Options{Options: lab.Options{Dir: dir, Disk: disk, CacheDir: filepath.Join(dir, "cache")}, Progress: t.Output()}
	for name := range strings.SplitSeq(os.Getenv(envBoots), ",") {
		if name != "" {
			o.Boots = append(o.Boots, qemu.Boot(name))
		}
	}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Table(t.Output(), Title); err != nil {
		t.Fatal(err)
	}
	if !report.Passed {
		t.Error("the disk did not pass")
	}
	if digest(t, disk) != before {
		t.Error("the test changed the artifact")
	}
}
