// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gpt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// TestOtherTools checks a table with gdisk and util-linux, before and after growth.
func TestOtherTools(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, written(t, table(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	verify(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(4 * sectors * gpt.SectorSize); err != nil {
		t.Fatal(err)
	}
	grown, err := table(t).Grown(strings.Repeat("x", 36), 4*sectors)
	if err != nil {
		t.Fatal(err)
	}
	if err := gpt.Rewrite(f, grown); err != nil {
		t.Fatal(err)
	}
	verify(t, path)
	dump := run(t, "sfdisk", "--dump", path)
	for _, want := range []string{
		"label-id: 00112233-4455-6677-8899-AABBCCDDEEFF",
		"start=        2048, size=        2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=11111111-2222-3333-4444-555555555555, name=\"efi\", attrs=\"RequiredPartition GUID:63\"",
		"start=        8192, size=       55296,",
	} {
		if !strings.Contains(dump, want) {
			t.Errorf("sfdisk does not say %q:\n%s", want, dump)
		}
	}
}

func verify(t *testing.T, path string) {
	t.Helper()
	if out := run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	if out := run(t, "sfdisk", "--verify", path); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify:\n%s", out)
	}
}

// TestReadSgdisk reads a table that sgdisk made.
func TestReadSgdisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, sectors*gpt.SectorSize), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "sgdisk", "-U", "00112233-4455-6677-8899-AABBCCDDEEFF",
		"-n", "1:2048:4095", "-t", "1:ef00", "-u", "1:11111111-2222-3333-4444-555555555555", "-c", "1:efi", "-A", "1:set:0", "-A", "1:set:63",
		"-n", "3:4096:8191", "-u", "3:21111111-2222-3333-4444-555555555555", "-c", "3:größe 😀",
		"-n", "4:8192:12287", "-u", "4:31111111-2222-3333-4444-555555555555", "-c", "4:"+strings.Repeat("x", 36), path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := table(t)
	got := read(t, data)
	want.Partitions[1].Name, got.Partitions[1].Name = "", "" // sgdisk loses letters beyond the BMP
	if diff := cmp.Diff(want, got, ignoreFault); diff != "" {
		t.Error(diff)
	}
}

// TestLargeSectorsOfOtherTools reads the table of a 4K native disk with tools that ask the
// kernel for the size of its sectors.
func TestLargeSectorsOfOtherTools(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, written(t, largeTable(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	loop := strings.TrimSpace(run(t, "losetup", "--find", "--show", "--sector-size", "4096", path))
	defer run(t, "losetup", "--detach", loop)
	verify(t, loop)
	for _, want := range []string{"start=         256, size=         256, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "sector-size: 4096"} {
		if dump := run(t, "sfdisk", "--dump", loop); !strings.Contains(dump, want) {
			t.Errorf("sfdisk does not say %q:\n%s", want, dump)
		}
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
