// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package datasource

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestMediaOfOthers reads media made by the tools that hypervisors use. Tools that
// are not installed are skipped.
func TestMediaOfOthers(t *testing.T) {
	iso := func(words ...string) func(t *testing.T, dir, image string) {
		return func(t *testing.T, dir, image string) {
			run(t, slices.Concat(words, []string{"-o", image, dir})...)
		}
	}
	fat := func(bits, label string, kib string) func(t *testing.T, dir, image string) {
		return func(t *testing.T, dir, image string) {
			run(t, "mkfs.vfat", "-F", bits, "-n", label, "-C", image, kib)
			for name := range noCloudFiles {
				run(t, "mcopy", "-oi", image, filepath.Join(dir, name), "::")
			}
		}
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir, image string)
	}{
		{"genisoimage as Proxmox", iso("genisoimage", "-quiet", "-iso-level", "3", "-R", "-V", "cidata")},
		{"genisoimage as cloud-localds", iso("genisoimage", "-quiet", "-volid", "cidata", "-joliet", "-rock")},
		{"genisoimage with Joliet only", iso("genisoimage", "-quiet", "-volid", "CIDATA", "-joliet")},
		{"xorriso as libvirt", iso("xorrisofs", "-quiet", "-J", "-r", "-V", "cidata")},
		{"mkfs.vfat, FAT12", fat("12", "CIDATA", "2048")},
		{"mkfs.vfat, FAT16", fat("16", "cidata", "16384")},
		{"mkfs.vfat, FAT32", fat("32", "cidata", "65536")},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
			for name, data := range noCloudFiles {
				put(t, dir, name, data)
			}
			c.make(t, dir, image)
			m, root := newMachine(t)
			device(t, root, "sr0", image)
			got, err := m.Fetch(t.Context(), []Source{noCloud{}})
			want := *noCloudData
			want.Source, want.Place = "nocloud", "/dev/sr0"
			if diff := cmp.Diff(&want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Errorf("%v, differs (-want +got):\n%s", err, diff)
			}
		})
	}
}

func run(t *testing.T, words ...string) {
	t.Helper()
	if _, err := exec.LookPath(words[0]); err != nil {
		t.Skipf("%s is not installed", words[0])
	}
	if out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", words, err, out)
	}
}
