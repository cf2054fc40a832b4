// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
)

// TestWriteLog writes to the disk's block node without a guest, and reads the log after
// QEMU was killed.
func TestWriteLog(t *testing.T) {
	dir := t.TempDir()
	disk, log := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "writes,1.log")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	vm := start(t, Config{Disk: disk, DiskSize: 4 << 20, WriteLog: log, Faults: []Fault{}})
	ctx := limited(t, time.Minute)
	for _, line := range []string{"write -P 0x41 4096 1024", "flush", "write -z 1M 4096", "discard 2M 8192", "write -f -P 0x42 512 512", "flush", "write -P 0x43 0 512"} {
		out, err := vm.QMP().Human(ctx, `qemu-io -d /machine/peripheral-anon/device[2]/virtio-backend "`+line+`"`)
		if err != nil || strings.Contains(strings.ToLower(out), "error") || strings.Contains(out, "ermission") {
			t.Fatalf("qemu-io %s: %v\n%s", line, err, out)
		}
	}
	vm.Kill()
	<-vm.Done()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got, err := writelog.ReadAll(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	want := []writelog.Entry{
		{Offset: 4096, Size: 1024, Data: 1024},
		{Flags: writelog.Flush, Data: -1},
		{Offset: 1 << 20, Size: 4096, Data: 3072},
		{Offset: 2 << 20, Size: 8192, Flags: writelog.Discard, Data: -1},
		{Offset: 512, Size: 512, Data: 8192},
		{Flags: writelog.Flush, Data: -1}, // QEMU turns a write with FUA (-f) into a write and a flush
		{Flags: writelog.Flush, Data: -1},
		{Offset: 0, Size: 512, Data: 10240}, // behind the last superblock
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
