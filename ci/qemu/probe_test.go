// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBootSector(t *testing.T) {
	b := bootSector()
	if len(b) != bootSectorSize || b[510] != 0x55 || b[511] != 0xaa {
		t.Error("no boot sector")
	}
	if string(b[:3]) != "\xba\xf8\x03" {
		t.Errorf("it begins with % x", b[:16])
	}
}

func TestProbeCache(t *testing.T) {
	h := Host{QEMU: "/usr/bin/qemu", Version: Version{7, 2, 22}}
	shallow := Prober{Host: h, CacheDir: filepath.Join(t.TempDir(), "new")}
	deep := shallow
	deep.Kernel = "/vmlinuz"
	if _, ok := shallow.cache().load(); ok {
		t.Fatal("an empty cache gives an answer")
	}
	if err := shallow.cache().store("hangs"); err != nil {
		t.Fatal(err)
	}
	if reason, ok := shallow.cache().load(); !ok || reason != "hangs" {
		t.Errorf("got %q, %v", reason, ok)
	}
	if _, ok := deep.cache().load(); ok {
		t.Error("a boot sector answers for Linux")
	}
	if err := os.WriteFile(shallow.cache().path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := shallow.cache().load(); ok {
		t.Error("a damaged file gives an answer")
	}
}

// TestTrial runs other programs in place of QEMU.
func TestTrial(t *testing.T) {
	dir := t.TempDir()
	serial := filepath.Join(dir, "serial")
	tests := []struct {
		name, script, want string
		status             int
		limit              time.Duration
	}{
		{"works", "echo K > " + serial + "; exit 33", "", 33, time.Minute},
		{"silent", "rm -f " + serial, "serial line does not say", 0, time.Minute},
		{"aborts", "echo 'failed to set MSR 0x10a' >&2; exit 134", "failed to set MSR", 33, time.Minute},
		{"internal error", "echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60", "cannot run", 33, time.Minute},
		{"hangs", "exec sleep 60", "no end after 300ms", 33, 300 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := trial{"test", []string{"-c", tt.script}, serial, tt.limit, tt.status, "K"}
			begin := time.Now()
			got := tr.run(t.Context(), "/bin/sh")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if time.Since(begin) > 10*time.Second {
				t.Error("it waited for the program")
			}
		})
	}
}
