// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseVersion(t *testing.T) {
	tests := []struct {
		text string
		want Version
		ok   bool
	}{
		{"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright", Version{7, 2, 22}, true},
		{"QEMU emulator version 10.0.2", Version{10, 0, 2}, true},
		{"QEMU emulator version 9.1 (v9.1)", Version{9, 1, 0}, true},
		{"bash: not a QEMU", Version{}, false},
		{"QEMU emulator version 99999999999999999999.0", Version{}, false},
	}
	for _, tt := range tests {
		got, err := ParseVersion(tt.text)
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("%q: got %v, %v", tt.text, got, err)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("QEMU emulator version 7.2.22 (Debian)")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = ParseVersion(s) })
}

func TestFindMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, program := range []string{"", "/does/not/exist"} {
		_, err := Find(t.Context(), "", program)
		if !errors.Is(err, ErrNoQEMU) || !strings.Contains(err.Error(), "apt-get install --no-install-recommends qemu-system-x86 ovmf") {
			t.Errorf("%q: got %v, want what to install", program, err)
		}
	}
	if _, err := Find(t.Context(), "arm64", ""); err == nil || err.Error() != "qemu-system-aarch64 not found in PATH: install it, on Debian and Ubuntu with: apt-get install --no-install-recommends qemu-system-arm qemu-efi-aarch64" {
		t.Errorf("got %v", err)
	}
	if _, err := Find(t.Context(), "mips", ""); err == nil || !strings.Contains(err.Error(), `"mips": there are amd64, arm64`) {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "qemu-system-x86_64")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\necho 'QEMU emulator version 8.1.5'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(fake)+":/bin:/usr/bin")
	h, err := Find(t.Context(), "", "")
	if diff := cmp.Diff(Host{QEMU: fake, Version: Version{8, 1, 5}, Root: "/", Arch: "amd64"}, h); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestParseForwards(t *testing.T) {
	text := "Hub -1 (n0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n" +
		"  TCP[HOST_FORWARD]  11       127.0.0.1 43721       10.0.2.15    22     0     0\r\n" +
		"  TCP[HOST_FORWARD]  12       127.0.0.1 35837       10.0.2.15  6443     0     0\r\n" +
		"  TCP[ESTABLISHED]   13       127.0.0.1 43721       10.0.2.15    22     0     0\r\n"
	got, err := parseForwards(text)
	if diff := cmp.Diff(map[int]int{22: 43721, 6443: 35837}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := parseForwards("TCP[HOST_FORWARD] 1 x notaport y 22"); err == nil {
		t.Error("a port that is no number: got no error")
	}
}

func FuzzParseForwards(f *testing.F) {
	f.Add("TCP[HOST_FORWARD]  11  127.0.0.1 43721  10.0.2.15    22     0     0")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = parseForwards(s) })
}
