// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	diskext4 "github.com/diskfs/go-diskfs/filesystem/ext4"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/crypt"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// liveNode is a live system with its medium, and a disk that is a file.
func liveNode(t *testing.T) string {
	t.Helper()
	dir := newNode(t)
	const size = 1 << 20
	put(t, dir, "run/initramfs/live/kairos/root.img", strings.Repeat("the root image. ", size/16))
	f, err := os.OpenFile(filepath.Join(dir, "run/initramfs/live/kairos/root.img"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree, err := verity.Write(t.Context(), f, size, verity.Params{})
	if err != nil {
		t.Fatal(err)
	}
	boot, core := []byte(strings.Repeat("b", 510)+"\x55\xaa"), []byte(strings.Repeat("c", 4096))
	binary.LittleEndian.PutUint16(core[508:], 7)
	binary.LittleEndian.PutUint16(core[510:], 0x820)
	for name, text := range map[string]string{
		"VMLINUZ": "kernel", "INITRD": "initrd", "SLOT.TXT": fmt.Sprintf("VERSION=v7\nROOTHASH=%x\n", tree.RootHash),
		"bootloader/grub-dir": "debian\n", "bootloader/grub.cfg": string(bootconf.GRUB()),
		"bootloader/bios/boot.img": string(boot), "bootloader/bios/core.img": string(core),
	} {
		put(t, dir, "run/initramfs/live/kairos/"+name, text)
	}
	state := &thisboot.Boot{Mode: layout.ModeLive, RootHash: fmt.Sprintf("%x", tree.RootHash), HashOffset: tree.HashOffset}
	if err := state.Write(filepath.Join(dir, layout.StateFile)); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "usr/lib/kairos/cmdline", "console=ttyS0\n")
	put(t, dir, "proc/self/mountinfo", "")
	put(t, dir, "proc/meminfo", "MemAvailable: 1000000 kB\n")
	addDisk(t, dir, "sda", 6<<30)
	return dir
}

func addDisk(t *testing.T, dir, name string, size int64) {
	t.Helper()
	for file, text := range map[string]string{"size": fmt.Sprint(size / 512), "removable": "0", "ro": "0", "queue/logical_block_size": "512", "device/model": "DISK"} {
		put(t, dir, "sys/block/"+name+"/"+file, text+"\n")
	}
	put(t, dir, "dev/"+name, "")
	if err := os.Truncate(filepath.Join(dir, "dev", name), size); err != nil {
		t.Fatal(err)
	}
}

// oemFile reads a file of the oem partition of an installed disk.
func oemFile(t *testing.T, path, name string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Read(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	p, _ := table.Partition(layout.PartOEM)
	oem, err := diskext4.Read(file.New(f, true), p.Size(), p.Offset(), 512)
	if err != nil {
		t.Fatal(err)
	}
	in, err := oem.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestInstall: a live system is installed with its config, once.
func TestInstall(t *testing.T) {
	dir := liveNode(t)
	put(t, dir, "oem/95_userdata.yaml", "#cloud-config\ninstall:\n  auto: true\nhostname: edge-1\nstages:\n  before-install:\n    - directories: [{path: /run/before}]\n  kairos-install.after:\n    - directories: [{path: /run/after}]\n")
	if got := call(t, dir, "", "install", "--dry-run"); got.code != 0 || !strings.Contains(got.stderr, "disk    /dev/sda (DISK, 6.4 GB, scsi): the only disk of the machine") || !strings.Contains(got.stderr, "nothing was written") {
		t.Fatalf("%+v", got)
	}
	got := call(t, dir, "", "install", "--json")
	var r installResult
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || got.code != 0 || r.Device != "/dev/sda" || r.Version != "v7" || len(r.Files) != 1 {
		t.Fatalf("%v %+v", err, got)
	}
	if text := oemFile(t, filepath.Join(dir, "dev/sda"), "95_userdata.yaml"); strings.Contains(text, "auto") || !strings.Contains(text, "hostname: edge-1") {
		t.Errorf("the config is %q", text)
	}
	for _, path := range []string{"run/before", "run/after"} {
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Error(err)
		}
	}
	again := call(t, dir, "", "install", "--auto")
	if again.code != 0 || !strings.Contains(again.stdout, "this machine is installed already: the recovery slot of /dev/sda") {
		t.Errorf("%+v", again)
	}
	refused := call(t, dir, "", "install")
	if refused.code != 1 || !strings.Contains(refused.stderr, "it has an installed node (version v7), which would be lost: to erase it, give --force") {
		t.Errorf("%+v", refused)
	}
}

// TestInstallRefuses: what is wrong is said, and the disk is as it was.
func TestInstallRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(dir string)
		args    []string
		say     string
	}{
		"a typo":       {func(dir string) { put(t, dir, "oem/90.yaml", "install: {auto: true}\nhostnam: a\n") }, nil, "90.yaml:2:1: hostnam: unknown key; did you mean"},
		"encryption":   {func(dir string) { put(t, dir, "oem/90.yaml", "install: {encrypted_partitions: [COS_PERSISTENT]}\n") }, nil, "the key of COS_PERSISTENT belongs in a TPM 2.0: this machine has no TPM 2.0. Switch it on in the firmware"},
		"a bad size":   {func(dir string) { put(t, dir, "oem/90.yaml", "install: {partitions: {state: {size: 100}}}\n") }, nil, "install.partitions.state.size: 100 MiB"},
		"altered":      {func(dir string) { alter(t, filepath.Join(dir, "run/initramfs/live/kairos/root.img")) }, nil, "the medium is damaged, or was altered"},
		"no such disk": {func(string) {}, []string{"--device", "/dev/sdz"}, "the machine has /dev/sda (DISK, 6.4 GB, scsi)"},
		"a hook fails": {func(dir string) {
			put(t, dir, "oem/90.yaml", "stages: {before-install: [{directories: [{path: /proc/meminfo/x}]}]}\n")
		}, nil, "stage before-install: a step failed"},
		"an image that nobody vouches for": {func(string) {}, []string{"--source", "dir:/nosuch"}, "no such folder"},
		"in use":                           {func(dir string) { put(t, dir, "proc/self/mountinfo", "40 22 8:1 / /srv rw - ext4 /dev/sda rw\n") }, nil, "/dev/sda is mounted at /srv"},
		"too small":                        {func(dir string) { addDisk(t, dir, "sda", 1<<30) }, nil, "it is too small: it has 1024 MiB"},
		"two ways down":                    {func(string) {}, []string{"--reboot", "--poweroff"}, "which of them?"},
		"no-format":                        {func(string) {}, []string{"--no-format"}, "it has nothing, and no installed node whose data could be kept: install without --no-format"},
		"no-format and force":              {func(string) {}, []string{"--no-format", "--force"}, "which of them?"},
	} {
		dir := liveNode(t)
		c.prepare(dir)
		got := call(t, dir, "", append([]string{"install"}, c.args...)...)
		if got.code != 1 || !strings.Contains(got.stderr, c.say) || got.stdout != "" {
			t.Errorf("%s: %+v", name, got)
		}
		head := make([]byte, 1<<20)
		f, err := os.Open(filepath.Join(dir, "dev/sda"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(f, head); err != nil || strings.Trim(string(head), "\x00") != "" {
			t.Errorf("%s: the disk was written to, %v", name, err)
		}
		f.Close()
	}
}

func alter(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("X"), 5000); err != nil {
		t.Fatal(err)
	}
}

// TestAutoInstall: without being asked to, nothing is installed; a failure is told.
func TestAutoInstall(t *testing.T) {
	dir := liveNode(t)
	if got := call(t, dir, "", "install", "--auto"); got.code != 0 || !strings.Contains(got.stdout, "this is a live system: nothing is installed") {
		t.Errorf("%+v", got)
	}
	put(t, dir, "proc/cmdline", "quiet install-mode-interactive\n")
	if got := call(t, dir, "", "install", "--auto"); !strings.Contains(got.stdout, "nothing is installed") {
		t.Errorf("got %+v", got)
	}
	put(t, dir, "proc/cmdline", "quiet install-mode\n") // chosen in the menu
	put(t, dir, "oem/90.yaml", "install: {device: /dev/sdz}\n")
	if got := call(t, dir, "", "install", "--auto"); got.code != 1 || !strings.Contains(got.stdout, "NOT INSTALLED: ") {
		t.Errorf("got %+v", got)
	}
	put(t, dir, "proc/cmdline", "quiet\n")
	put(t, dir, "oem/90.yaml", "install: {auto: true, device: /dev/sdz}\n")
	if got := call(t, dir, "", "install", "--auto"); got.code != 1 || !strings.Contains(got.stdout, "NOT INSTALLED: ") {
		t.Errorf("%+v", got)
	}
}

// TestInteractiveInstall: answers become a config; wrong ones are asked for again.
func TestInteractiveInstall(t *testing.T) {
	dir := liveNode(t)
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti ada"
	input := []string{"7", "1", "not a name!", "edge-9", "", "geheim", "geheim", key, "yes", ""}
	got := call(t, dir, strings.Join(input, "\n"), "interactive-install")
	if got.code != 0 || !strings.Contains(got.stderr, "  1  /dev/sda (DISK, 6.4 GB, scsi): nothing\n") || !strings.Contains(got.stderr, "a number from 1 to 1") {
		t.Fatalf("%+v", got)
	}
	text := oemFile(t, filepath.Join(dir, "dev/sda"), "90_custom.yaml")
	c, problems := config.Decode("a.yaml", []byte(text))
	if len(problems) > 0 || c.Hostname != "edge-9" || len(c.Users) != 1 || !crypt.Matches(c.Users[0].Password, "geheim") || c.Users[0].SSHAuthorizedKeys[0] != key {
		t.Errorf("%s\n%s", text, problems.Error())
	}
	for _, input := range []string{"", "1\na\n", "1\na\nb\nc\nc\n\nno\n"} {
		dir := liveNode(t)
		if got := call(t, dir, input, "interactive-install"); got.code != 1 || !strings.Contains(got.stderr, "nothing was written") {
			t.Errorf("%q: %+v", input, got)
		}
	}
}

// TestManualInstall: the config of a file counts, and no other.
func TestManualInstall(t *testing.T) {
	dir := liveNode(t)
	put(t, dir, "oem/90.yaml", "hostname: other\n")
	put(t, dir, "site.yaml", "#cloud-config\nhostname: site\ninstall: {partitions: {oem: {size: 16}}}\n")
	if got := call(t, dir, "", "manual-install", filepath.Join(dir, "site.yaml")); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if text := oemFile(t, filepath.Join(dir, "dev/sda"), "90_custom.yaml"); text != "#cloud-config\nhostname: site\n" {
		t.Errorf("%q", text)
	}
	if got := call(t, dir, "", "manual-install"); got.code != 2 || !strings.Contains(got.stderr, "which config?") {
		t.Errorf("%+v", got)
	}
}
