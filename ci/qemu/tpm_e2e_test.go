// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package qemu

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTPM: a machine has its TPM when it starts and when it starts again, and takes the TPM
// with it when it ends.
func TestTPM(t *testing.T) {
	dir := t.TempDir()
	disk, state := filepath.Join(dir, "disk"), filepath.Join(dir, "tpm")
	if err := os.WriteFile(disk, bootSector(), 0o600); err != nil {
		t.Fatal(err)
	}
	vm := start(t, Config{Disk: disk, TPM: state})
	ctx := limited(t, time.Minute)
	for range 2 {
		said, err := vm.QMP().Human(ctx, "info tpm")
		if err != nil || !strings.Contains(said, "tpm-crb") {
			t.Fatalf("QEMU says %q, %v", said, err)
		}
		if _, err := vm.WaitFor(ctx, regexp.MustCompile(`SeaBIOS|Booting`)); err != nil {
			t.Fatal(err)
		}
		if err := vm.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	tpm := vm.tpm
	if err := vm.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-tpm.done:
	default:
		t.Error("the TPM runs on")
	}
	if _, err := os.Stat(filepath.Join(state, "tpm2-00.permall")); err != nil {
		t.Error(err)
	}
}
