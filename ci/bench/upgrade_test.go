// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// TestUpgradeLines checks the lines of docs/bench.md about an upgrade.
func TestUpgradeLines(t *testing.T) {
	u := upgrades{seconds: Series{8, 10, 9}, dd: Series{2, 2.5, 3}, peak: Series{150, 149, 151}}
	r := &Report{[]Row{{Key: "upgrade", Run: Run{Date: time.Unix(0, 0), N: 3}, Results: u.results(480_000_000)}}}
	golden.Check(t, "testdata/upgrade.md", r.Markdown())
}

func TestRates(t *testing.T) {
	if diff := cmp.Diff(Series{50, 100}, rates(200_000_000, Series{4, 2})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestArmed(t *testing.T) {
	tests := []struct {
		name, said string
		bytes      int64
		want       string // part of the error
	}{
		{"armed", `{"slot": "b", "tries": 3, "bytes": 4096}`, 4096, ""},
		{"the slot that runs", `{"slot": "a", "tries": 3, "bytes": 4096}`, 0, `slot "a"`},
		{"not on trial", `{"slot": "b", "bytes": 4096}`, 0, "for 0 boots"},
		{"nothing written", `{"slot": "b", "tries": 3}`, 0, "with 0 bytes"},
		{"no JSON", "slot     b\n", 0, "reading what kairos-agent upgrade said"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := armed([]byte(tt.said))
			if got != tt.bytes || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %d, error %v; want %d, %q", got, err, tt.bytes, tt.want)
			}
		})
	}
}

func TestRootSize(t *testing.T) {
	image := smallImage(t)
	if got, err := rootSize(image); err != nil || got != 4096 {
		t.Errorf("got %d, error %v; want 4096", got, err)
	}
	foreign := mutate.Annotations(image, map[string]string{layout.AnnotationRootSize: ""}).(v1.Image)
	if got, err := rootSize(foreign); err == nil {
		t.Errorf("an image without the annotation has a root image of %d bytes", got)
	}
}

func TestSaveRoot(t *testing.T) {
	dir := t.TempDir()
	disk, saved := filepath.Join(dir, "disk"), filepath.Join(dir, "root.img")
	writeDisk(t, disk, "root-a", []byte("the root image and more"))
	if err := saveRoot(disk, "root-a", int64(len("the root image")), saved); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(saved); err != nil || string(got) != "the root image" {
		t.Errorf("got %q, error %v", got, err)
	}
	for name, size := range map[string]int64{"root-b": 1, "root-a": 2 << 20} {
		if err := saveRoot(disk, name, size, saved); err == nil || !strings.Contains(err.Error(), "no partition "+name) {
			t.Errorf("%d bytes of %s: error %v", size, name, err)
		}
	}
}

// writeDisk makes a disk with one partition of 1 MiB.
func writeDisk(t *testing.T, path, name string, data []byte) {
	t.Helper()
	const sectors, first = 8192, 2048
	root, err := gpt.ParseGUID(layout.TypeLinux)
	if err != nil {
		t.Fatal(err)
	}
	table := &gpt.Table{DiskGUID: gpt.DeriveGUID([32]byte{1}), Sectors: sectors, Partitions: []gpt.Partition{
		{Number: 1, Name: name, Type: root, ID: gpt.DeriveGUID([32]byte{2}), First: first, Last: first + 2047},
	}}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(sectors * gpt.SectorSize); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, first*gpt.SectorSize); err != nil {
		t.Fatal(err)
	}
}
