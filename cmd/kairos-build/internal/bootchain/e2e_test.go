// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package bootchain

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDebian: the signatures of Debian's shim, GRUB and kernel are good.
func TestDebian(t *testing.T) {
	dir := os.Getenv("KAIROS_E2E_BOOT")
	if dir == "" {
		t.Skip("SKIPPED, NOT PROVEN: set KAIROS_E2E_BOOT")
	}
	var f Facts
	for _, p := range [][2]string{{Shim, "efi/shimx64.efi"}, {GRUB, "efi/grubx64.efi"}, {MOK, "efi/mmx64.efi"}, {Kernel, "vmlinuz"}} {
		data, err := os.ReadFile(filepath.Join(dir, p[1]))
		if err != nil {
			t.Fatal(err)
		}
		f.Programs = append(f.Programs, Program{p[0], p[1], data})
	}
	for _, l := range Inspect(f).Links {
		t.Logf("%s: %s, by %s, issued by %s", l.What, l.By, l.Signer, l.Issuer)
		if !l.Verified || l.Problem != "" {
			t.Errorf("%s: %s", l.What, l.Problem)
		}
	}
}
