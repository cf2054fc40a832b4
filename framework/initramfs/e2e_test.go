// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/initramfs/pack"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/squashfs"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// Environment variables that name the kernel for these tests. Both are set or none:
// without them the tests prove nothing, and say so.
const (
	envKernel  = "KAIROS_E2E_KERNEL"  // a Linux kernel
	envModules = "KAIROS_E2E_MODULES" // its modules directory, with the files of depmod
)

// A lab is what all boots share.
type lab struct {
	host   qemu.Host
	kernel string
	initrd string
	guest  []byte
}

func newLab(t *testing.T) lab {
	t.Helper()
	kernel, modules := os.Getenv(envKernel), os.Getenv(envModules)
	if kernel == "" || modules == "" {
		t.Skipf("SKIPPED, NOT PROVEN: set %s and %s", envKernel, envModules)
	}
	host, err := qemu.Find(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	l := lab{host: host, kernel: kernel, initrd: filepath.Join(t.TempDir(), "initrd"), guest: compile(t, "./testdata/guest")}
	f, err := os.Create(l.initrd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Write(f, pack.Options{Modules: modules, Init: compile(t, ".")}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return l
}

// boot starts a machine and returns the text of its console until the line want
// appears. The machine's files are in dir, which a second boot may share.
func (l lab) boot(t *testing.T, d testDisk, dir, want string, c qemu.Config) string {
	t.Helper()
	ctx, cancel := qemu.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c.Host, c.Accel, c.Dir = l.host, qemu.TCG(l.host), dir
	c.Kernel, c.Initrd, c.NoReboot, c.MemoryMiB = l.kernel, l.initrd, true, 768
	c.ConsoleLog, c.Faults = filepath.Join(t.TempDir(), "console.log"), []qemu.Fault{}
	c.Append = fmt.Sprintf("console=ttyS0 panic=1 %s=a %s=active %s=%s %s=%x %s=%d %s",
		layout.ArgSlot, layout.ArgMode, layout.ArgDisk, d.esp, layout.ArgRootHash, d.tree.RootHash,
		layout.ArgHashOffset, d.tree.HashOffset, c.Append)
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, err = vm.WaitLine(ctx, regexp.MustCompile(want))
	console, readErr := os.ReadFile(c.ConsoleLog)
	if err != nil || readErr != nil {
		t.Fatalf("waiting for %q: %v, %v\n%s", want, err, readErr, console)
	}
	return string(console)
}

const guestEnd = `guest: end:`

// said returns what the guest wrote after "guest: what: ".
func said(t *testing.T, console, what string) string {
	t.Helper()
	_, rest, ok := strings.Cut(console, "guest: "+what+": ")
	if !ok {
		t.Fatalf("the guest did not say %q:\n%s", what, console)
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func stateOf(t *testing.T, console string) (s thisboot.Boot) {
	t.Helper()
	if err := json.Unmarshal([]byte(said(t, console, "state")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func expect(t *testing.T, console, what, want string) {
	t.Helper()
	if got := said(t, console, what); got != want {
		t.Errorf("guest says %s: %s, want %s", what, got, want)
	}
}

// TestSquashFSRoot: /init mounts a root image of SquashFS, whose module the kernel asks for.
func TestSquashFSRoot(t *testing.T) {
	l := newLab(t)
	disk := newDiskOf(t, "squashfs", l.guest, func(w io.WriterAt) rootWriter { return squashfs.NewWriter(w) })
	console := l.boot(t, disk, t.TempDir(), guestEnd, qemu.Config{Disk: disk.path, DiskSize: 4 * layout.GiB, Append: "guest.read"})
	expect(t, console, "write /", "open //probe: read-only file system")
	expect(t, console, "copied", "from the image")
	expect(t, console, "read", fmt.Sprint(disk.tree.DataSize, " <nil>"))
	if mounts := said(t, console, "mounts"); !strings.Contains(" "+mounts+" ", " /=squashfs:ro ") {
		t.Errorf("no mount /=squashfs:ro in %s", mounts)
	}
	if state := stateOf(t, console); len(state.Warnings) != 0 {
		t.Errorf("warnings: %v", state.Warnings)
	}
}

func TestTwoBoots(t *testing.T) {
	l := newLab(t)
	disk, dir := newDisk(t, "one", l.guest), t.TempDir()
	first := l.boot(t, disk, dir, guestEnd, qemu.Config{Disk: disk.path, DiskSize: 4 * layout.GiB, Append: "guest.read"})
	for what, want := range map[string]string{
		"write /":    "open //probe: read-only file system",
		"write /usr": "open /usr/probe: read-only file system",
		"marker":     "true",
		"copied":     "from the image",
		"read":       fmt.Sprint(disk.tree.DataSize, " <nil>"),
	} {
		expect(t, first, what, want)
	}
	state := stateOf(t, first)
	if !state.FirstBoot || len(state.Warnings) != 0 || state.Slot != layout.SlotA || state.MachineID != said(t, first, "machine-id") {
		t.Errorf("state of the first boot: %+v", state)
	}
	var megabytes int
	if _, err := fmt.Sscan(said(t, first, "size"), &megabytes); err != nil || megabytes < 3000 {
		t.Errorf("persistent has %d MiB (%v) on a disk of 4 GiB", megabytes, err)
	}
	for _, mount := range []string{"/=erofs:ro", "/etc=overlay:rw", "/var=overlay:rw", "/oem=ext4:rw", "/usr/local=ext4:rw", "/tmp=tmpfs:rw"} {
		if !strings.Contains(" "+said(t, first, "mounts")+" ", " "+mount+" ") {
			t.Errorf("no mount %s in %s", mount, said(t, first, "mounts"))
		}
	}
	disk.esp = ownIdentity(t, disk, state)
	second := l.boot(t, disk, dir, guestEnd, qemu.Config{Disk: disk.path, DiskSize: 4 * layout.GiB})
	expect(t, second, "machine-id", state.MachineID)
	for dir, want := range map[string]string{
		"/etc": "false", "/var": "false", "/usr/local": "true", "/oem": "true", "/etc/ssh": "true", "/var/lib/kubelet": "true", "/root": "true",
	} {
		expect(t, first, "kept "+dir, "false")
		expect(t, second, "kept "+dir, want)
	}
	after := stateOf(t, second)
	if after.FirstBoot {
		t.Error("the second boot says that it is the first")
	}
	if diff := cmp.Diff([]any{state.Disk, state.Partitions}, []any{after.Disk, after.Partitions}); diff != "" {
		t.Errorf("the disk at its second boot (-first +second):\n%s", diff)
	}
}

// ownIdentity checks that no GUID is as it was written. It returns the GUID of the
// EFI partition, by which the boot loader names the disk from now on.
func ownIdentity(t *testing.T, d testDisk, s thisboot.Boot) gpt.GUID {
	t.Helper()
	if s.Disk.GUID == d.table.DiskGUID.String() {
		t.Error("the disk has the GUID that it was written with")
	}
	for i, p := range s.Partitions {
		if p.PartUUID == d.table.Partitions[i].ID.String() {
			t.Errorf("partition %s has the GUID that it was written with", p.Name)
		}
	}
	efi, _ := s.Partition(layout.PartEFI)
	id, err := gpt.ParseGUID(efi.PartUUID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestTrouble boots disks that are not as they should be.
func TestTrouble(t *testing.T) {
	l := newLab(t)
	disk, other := newDisk(t, "one", l.guest), newDisk(t, "two", l.guest)
	stranger := other
	stranger.path = disk.path
	const booted = "kairos.env=good=a,try=,tries=,bad=,badrec=,next=,unproven=1"
	zeros := make([]byte, 64<<10)
	tests := []struct {
		name   string
		disk   testDisk
		config qemu.Config
		end    string   // the line that ends the boot
		want   []string // on the console
	}{
		{"a second disk with the same names", disk, qemu.Config{Disk: other.path, ExtraDisks: []string{disk.path}}, guestEnd,
			[]string{"kairos-init: booted from /dev/vdb "}},
		{"a copy that nothing tells from the disk", disk, qemu.Config{Disk: disk.path, ExtraDisks: []string{copyDisk(t, disk.path)}, Append: booted}, "Restarting system",
			[]string{"BOOT FAILED: step \"disk\"", "nothing tells which", "  /dev/vda (", "  /dev/vdb (", "Disconnect all but one."}},
		{"a copy that was not booted", disk, qemu.Config{Disk: freshCopy(t, disk), ExtraDisks: []string{disk.path}, Append: booted}, guestEnd,
			[]string{"kairos-init: booted from /dev/vdb "}},
		{"only a copy that was not booted", disk, qemu.Config{Disk: freshCopy(t, disk), Append: booted + " kairos.diskwait=3"}, "Restarting system",
			[]string{"the disk that the machine was started from did not appear within 3s", "  /dev/vda ("}},
		{"no such disk", stranger, qemu.Config{Disk: disk.path, Append: "kairos.diskwait=2"}, "machine restart|Restarting system",
			[]string{"kairos-init: BOOT FAILED: step \"disk\": no disk with the EFI partition", "/dev/vda (640 MiB, no model name): another system's disk"}},
		{"a flipped byte", disk, qemu.Config{Disk: disk.path, Append: "guest.read", Patches: []qemu.Patch{{Offset: disk.offset(t, "root-a") + disk.tree.DataSize - 1, Data: []byte{0xff}}}}, "Kernel panic",
			[]string{"is corrupted", "dm-verity device corrupted"}},
		{"another root hash", testDisk{path: disk.path, esp: disk.esp, table: disk.table, tree: flipped(disk)}, qemu.Config{Disk: disk.path}, "Restarting system",
			[]string{"root-a (/dev/vda4) does not hold the root image that this kernel belongs to", "slot a was not started"}},
		{"no persistent file system", disk, qemu.Config{Disk: disk.path, Patches: []qemu.Patch{{Offset: disk.offset(t, "persistent"), Data: zeros}}}, guestEnd,
			[]string{"kairos-init: WARNING: /usr/local: /dev/vda10: no ext4 file system", "/usr/local is empty and in memory", "/usr/local=tmpfs:rw"}},
		{"a damaged partition table", disk, qemu.Config{Disk: disk.path, Patches: []qemu.Patch{{Offset: 1024, Data: zeros[:512]}}}, guestEnd,
			[]string{"the primary partition table of /dev/vda was damaged", "written again from the backup"}},
		{"arguments", disk, qemu.Config{Disk: disk.path, Append: "kairos.slot=c"}, "Restarting system",
			[]string{`BOOT FAILED: step "arguments"`, `unknown slot "c": want a, b or recovery`}},
	}
	// Other boots of this list go the same way.
	alike := []string{"a copy that was not booted", "no such disk"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() && slices.Contains(alike, test.name) {
				t.Skip("make prove boots it")
			}
			console := l.boot(t, test.disk, t.TempDir(), test.end, test.config)
			for _, want := range test.want {
				if !strings.Contains(console, want) {
					t.Errorf("the console does not say %q:\n%s", want, console)
				}
			}
		})
	}
}

// flipped returns the disk's tree with another root hash.
func flipped(d testDisk) verity.Tree {
	tree := d.tree
	tree.RootHash[0] ^= 1
	return tree
}
