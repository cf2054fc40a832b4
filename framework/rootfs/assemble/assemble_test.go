// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var epoch = time.Unix(1700000000, 0)

func put(t *testing.T, root, path, text string) string {
	t.Helper()
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return full
}

func TestTidyRemovesWhatDiffersFromNodeToNode(t *testing.T) {
	root := t.TempDir()
	gone := []string{"etc/ssh/ssh_host_ed25519_key", "etc/passwd-", "var/log/dpkg.log", "var/lib/systemd/random-seed", "tmp/x/y", "run/lock", "var/lib/apt/lists/partial/x"}
	stays := []string{"etc/passwd", "etc/ssh/sshd_config", "var/log/README", "usr/bin/sh"}
	for _, path := range append(gone, stays...) {
		put(t, root, path, "x")
	}
	id := put(t, root, machineID, "0123456789abcdef\n")
	if err := tidy(root, epoch); err != nil {
		t.Fatal(err)
	}
	for _, path := range gone {
		if _, err := os.Lstat(filepath.Join(root, path)); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
	for _, path := range stays {
		if _, err := os.Lstat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	if data, err := os.ReadFile(id); err != nil || len(data) != 0 {
		t.Errorf("machine id is %q, %v: want an empty file", data, err)
	}
}

func TestClampTouchesOnlyWhatIsNewer(t *testing.T) {
	root := t.TempDir()
	older := put(t, root, "older", "x")
	newer := put(t, root, "dir/newer", "x")
	if err := os.Symlink("nowhere", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	before := epoch.Add(-time.Hour)
	if err := os.Chtimes(older, before, before); err != nil {
		t.Fatal(err)
	}
	if err := clamp(root, epoch); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]time.Time{older: before, newer: epoch, filepath.Join(root, "link"): epoch, filepath.Join(root, "dir"): epoch} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !info.ModTime().Equal(want) {
			t.Errorf("%s has time %s, want %s", path, info.ModTime(), want)
		}
	}
}

func TestClampLeavesMountsAlone(t *testing.T) {
	root := t.TempDir()
	file := put(t, root, "mnt/file", "x")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := clampBelow(root, epoch, map[string]bool{filepath.Join(root, "mnt"): true}); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if !after.ModTime().Equal(info.ModTime()) {
		t.Error("a file on a mount was changed")
	}
}

func TestMountPoints(t *testing.T) {
	file := put(t, t.TempDir(), "mountinfo", "22 1 0:20 / / rw - overlay o rw\n23 22 0:21 / /proc rw - proc p rw\n24 22 8:1 /x /etc/hosts ro - ext4 d ro\n")
	got, err := mountPoints(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"/proc": true, "/etc/hosts": true}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadBatches(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, batchFile, "0 a.deb\n0 b.deb\n1 c.deb\n")
	got, err := readBatches(dir)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	if diff := cmp.Diff([][]string{{in("a.deb"), in("b.deb")}, {in("c.deb")}}, got); diff != "" {
		t.Error(diff)
	}
	put(t, dir, batchFile, "nonsense\n")
	if _, err := readBatches(dir); err == nil || !strings.Contains(err.Error(), `line "nonsense"`) {
		t.Errorf("got %v, want an error that quotes the line", err)
	}
}

func TestFileList(t *testing.T) {
	if diff := cmp.Diff("/.\n/boot\n/boot/vmlinuz-6\n", string(fileList([]byte("./\n./boot/\n./boot/vmlinuz-6\n")))); diff != "" {
		t.Error(diff)
	}
}

func TestRegisterMakesNoDemands(t *testing.T) {
	root := t.TempDir()
	put(t, root, recordDir+"/linux-image-6.control", "Package: linux-image-6\nVersion: 6.1\nArchitecture: amd64\nDepends: initramfs-tools\nDescription: the kernel\n more words\n")
	put(t, root, recordDir+"/linux-image-6.list", "/.\n/boot/System.map-6\n")
	put(t, root, "var/lib/dpkg/info/x.list", "")
	status := put(t, root, "var/lib/dpkg/status", "Package: sh\n\n")
	if err := register(root); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(status)
	if err != nil {
		t.Fatal(err)
	}
	want := "Package: sh\n\nPackage: linux-image-6\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 6.1\nDescription: the kernel\n\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if list, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/info/linux-image-6.list")); err != nil || string(list) != "/.\n" {
		t.Errorf("list is %q, %v: want what is there", list, err)
	}
	if _, err := os.Stat(filepath.Join(root, recordDir)); !os.IsNotExist(err) {
		t.Errorf("the records are still in the image: %v", err)
	}
}

func TestMergeUsr(t *testing.T) {
	root := t.TempDir()
	put(t, root, "lib/modules/6.1/modules.dep", "x")
	put(t, root, "usr/lib/linux-image-6.1/x.dtb", "x")
	if err := mergeUsr(root); err != nil {
		t.Fatal(err)
	}
	if version, err := kernelVersion(root); err != nil || version != "6.1" {
		t.Errorf("kernel %q, %v", version, err)
	}
	if _, err := os.Lstat(filepath.Join(root, "lib")); !os.IsNotExist(err) {
		t.Error("lib is still there")
	}
}

// TestDepmodThatCannotRead: depmod ends with success although it could not read a module.
func TestDepmodThatCannotRead(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ script, want string }{
		{"echo 'depmod: WARNING: x' >&2", ""},
		{"echo 'depmod: ERROR: failed to load symbols from /out/ext4.ko.zst: Invalid argument' >&2", "depmod: ERROR: failed to load symbols from /out/ext4.ko.zst: Invalid argument"},
		{"exit 3", "depmod --basedir: exit status 3"},
	} {
		program := put(t, dir, "depmod", "#!/bin/sh\n"+tt.script+"\n")
		if err := os.Chmod(program, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":/usr/bin:/bin")
		out := t.TempDir()
		put(t, out, "usr/lib/modules/6.1/x", "")
		if err := indexModules(out); (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
			t.Errorf("%s: got %v, want %q", tt.script, err, tt.want)
		}
	}
}

func TestCheckLSM(t *testing.T) {
	root := t.TempDir()
	if err := checkLSM(root, ""); err != nil {
		t.Errorf("nothing is asked for: %v", err)
	}
	put(t, root, "usr/lib/modules/6.1/x", "")
	if err := checkLSM(root, "apparmor"); err == nil || !strings.Contains(err.Error(), "looking whether the kernel has apparmor") {
		t.Errorf("no config: %v", err)
	}
	for config, want := range map[string]string{
		"CONFIG_A=y\nCONFIG_SECURITY_APPARMOR=y\n":      "",
		"CONFIG_A=y\n# CONFIG_SECURITY_APPARMOR=y no\n": "the kernel 6.1 has no apparmor (its config lacks CONFIG_SECURITY_APPARMOR=y), which the flavor asks for with lsm",
	} {
		put(t, root, "usr/lib/modules/6.1/config", config)
		if err := checkLSM(root, "apparmor"); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", config, err, want)
		}
	}
}

func TestKernelVersionWantsExactlyOne(t *testing.T) {
	root := t.TempDir()
	put(t, root, "usr/lib/modules/6.1/x", "")
	put(t, root, "usr/lib/modules/6.2/x", "")
	if _, err := kernelVersion(root); err == nil || !strings.Contains(err.Error(), "2 kernels (6.1, 6.2)") {
		t.Errorf("got %v", err)
	}
}

// TestStartWithoutSync runs sync(1) under the filter: the program must still run,
// and its exit status must come back. No strace is needed to see that.
func TestStartWithoutSync(t *testing.T) {
	file := put(t, t.TempDir(), "f", "x")
	if err := run("sync", file); err != nil {
		t.Error(err)
	}
	if err := run("sync", file+"-missing"); err == nil {
		t.Error("the exit status of the program is lost")
	}
}
