// SPDX-License-Identifier: Apache-2.0

package machines

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

var began = time.Date(2026, 11, 29, 14, 0, 0, 0, time.UTC)

func newDisk(t *testing.T, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func begin(t *testing.T, s Store, name, disk string) *Machine {
	t.Helper()
	m, err := s.Make(t.Context(), name, disk, qemu.UEFI, began)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAMachineGoesOn(t *testing.T) {
	s, disk := Store{filepath.Join(t.TempDir(), "with [brackets]", "machines")}, newDisk(t, "first")
	m := begin(t, s, "edge", disk)
	if m.Outdated(disk) {
		t.Error("the machine began with this disk")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disk, []byte("rebuilt"), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := s.Open("edge")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if data, err := os.ReadFile(again.Disk()); err != nil || string(data) != "first" {
		t.Errorf("its disk is %q, %v: a later build must not change it", data, err)
	}
	if !again.Outdated(disk) || !again.Outdated("/elsewhere/disk.raw") {
		t.Error("a disk that was built anew, or another one, is not the disk that the machine began with")
	}
	if again.Boot != qemu.UEFI || !again.Began.Equal(began) {
		t.Errorf("got %+v", again)
	}
	if size, err := again.Allocated(); err != nil || size == 0 {
		t.Errorf("it takes %d bytes, %v", size, err)
	}
}

// TestAnEmptyMachine: it does not begin with the disk that it is named after.
func TestAnEmptyMachine(t *testing.T) {
	s, disk := Store{t.TempDir()}, newDisk(t, "first")
	m, err := s.MakeEmpty("edge", disk, []byte("kernel"), "me", qemu.BIOS, began)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := s.Open("edge")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	data, err := os.ReadFile(again.Disk())
	kernel, kernelErr := os.ReadFile(again.Kernel())
	if err := errors.Join(err, kernelErr); err != nil || strings.Trim(string(data), "\x00") != "" || string(kernel) != "kernel" || !again.Empty || again.User != "me" || again.Outdated(disk) {
		t.Errorf("got %+v, a disk of %d bytes, kernel %q: %v", again, len(data), kernel, err)
	}
}

func TestOneRunAtATime(t *testing.T) {
	s := Store{t.TempDir()}
	m := begin(t, s, "edge", newDisk(t, "x"))
	if _, err := s.Open("edge"); !errors.Is(err, ErrRunning) {
		t.Errorf("opening it twice: %v", err)
	}
	if err := s.Remove("edge"); !errors.Is(err, ErrRunning) {
		t.Errorf("removing a running one: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("edge"); err != nil {
		t.Error(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}

func TestNames(t *testing.T) {
	s := Store{t.TempDir()}
	_ = begin(t, s, "edge-1", newDisk(t, "x"))
	for name, want := range map[string]string{
		"edge1":   `"edge1": no machine is kept under this name: did you mean "edge-1"?`,
		"router":  "`kairos-build run DIR --keep router` begins it",
		"../edge": "is no name for a machine",
		"":        "is no name for a machine",
		".new-1":  "is no name for a machine",
	} {
		_, err := s.Open(name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v, want %q", name, err, want)
		}
		if err := s.Remove(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Remove(%q): %v, want %q", name, err, want)
		}
	}
}

func TestInterrupted(t *testing.T) {
	s, disk := Store{t.TempDir()}, newDisk(t, "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Make(ctx, "edge", disk, qemu.BIOS, began); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	left := filepath.Join(s.Dir, unfinished+"1") // as after a killed process
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	_ = begin(t, s, "other", disk)
	entries, err := os.ReadDir(s.Dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "other" {
		t.Errorf("there are %v, %v", entries, err)
	}
}

func TestDamagedRecord(t *testing.T) {
	s := Store{t.TempDir()}
	m := begin(t, s, "edge", newDisk(t, "x"))
	if err := errors.Join(m.Close(), os.WriteFile(filepath.Join(m.Dir(), recordName), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open("edge"); err == nil || !strings.Contains(err.Error(), "`kairos-build machines remove edge` deletes it") {
		t.Errorf("got %v", err)
	}
	if err := s.Remove("edge"); err != nil {
		t.Error(err)
	}
}
