// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package qemu

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTPM: a TPM that loses its power leaves its state for the next one.
func TestTPM(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tpm")
	for range 2 {
		p, socket, err := startTPM(dir)
		if err != nil {
			t.Fatal(err)
		}
		// CMD_INIT of swtpm's control channel (swtpm_ioctls(3)), as QEMU sends it: the
		// command 2 and flags, big endian; the answer is 0.
		if _, err := socket.Write([]byte{0, 0, 0, 2, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4)
		if n, err := socket.Read(answer); err != nil || n != 4 || string(answer) != "\x00\x00\x00\x00" {
			t.Fatalf("the TPM does not start: %x, %v", answer[:n], err)
		}
		if err := socket.Close(); err != nil {
			t.Fatal(err)
		}
		p.kill()
	}
	if _, err := os.Stat(filepath.Join(dir, "tpm2-00.permall")); err != nil {
		t.Error(err)
	}
}
