// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAttach: a device shows a part of its file, and is gone once it is closed.
func TestAttach(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	path := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 4<<20)); err != nil {
		t.Fatal(err)
	}
	dev, err := attach(path, 1<<20, 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if size, err := dev.Seek(0, 2); err != nil || size != 2<<20 {
		t.Errorf("it has %d bytes, error %v", size, err)
	}
	if _, err := dev.WriteAt([]byte("here"), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dev.Sync(), dev.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data[1<<20:1<<20+4]) != "here" {
		t.Errorf("the file has not what the device was given, error %v", err)
	}
	waitDetached(t, filepath.Base(dev.Name()), path)
}

// waitDetached waits until a loop device has another backing file or none.
func waitDetached(t *testing.T, name, path string) {
	t.Helper()
	for range 50 {
		backing, err := os.ReadFile(filepath.Join("/sys/block", name, "loop/backing_file"))
		if errors.Is(err, fs.ErrNotExist) || err == nil && string(backing) != path+"\n" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s still has %s", name, path)
}
