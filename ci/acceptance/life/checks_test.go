// SPDX-License-Identifier: Apache-2.0

package life

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

const goodMounts = `22 1 252:0 / / ro,relatime - erofs /dev/mapper/kairos-root ro,user_xattr
23 22 0:5 / /dev rw - devtmpfs dev rw
`

const goodStatus = `{"slot":"a","mode":"active","version":"v1","root":{"fs":"erofs","readOnly":true,"verity":{"state":"verified"}},"problems":[]}`

func replaced(from, to string) string {
	s := strings.Replace(goodStatus, from, to, 1)
	if s == goodStatus {
		panic("BUG: nothing replaced")
	}
	return s
}

func TestChecks(t *testing.T) {
	running := labtest.Node{"systemctl is-system-running": labtest.Says("running\n")}
	degraded := labtest.Node{
		"systemctl is-system-running": {Stdout: "degraded\n", Exit: 1},
		"systemctl list-units":        labtest.Says("foo.service loaded failed failed Foo\n"),
		"systemctl status":            {Stdout: "x foo.service: its last words", Exit: 3},
	}
	mounts := func(text string) labtest.Node { return labtest.Node{"cat /proc/self/mountinfo": labtest.Says(text)} }
	tests := []struct {
		name  string
		check func(context.Context, *lab.Guest) (string, error)
		node  labtest.Node
		boot  qemu.Boot
		want  string // of the error; empty: passes
	}{
		{"BIOS", checkFirmware, labtest.Node{}, qemu.BIOS, ""},
		{"BIOS that is UEFI", checkFirmware, labtest.Node{"stat": labtest.Says("/sys/firmware/efi\n")}, qemu.BIOS, "without UEFI"},
		{"UEFI", checkFirmware, labtest.Node{"stat": labtest.Says("/sys/firmware/efi\n"), "od": labtest.Says("   0\n")}, qemu.UEFI, ""},
		{"UEFI that is BIOS", checkFirmware, labtest.Node{}, qemu.UEFI, "not started by UEFI"},
		{"UEFI with Secure Boot", checkFirmware, labtest.Node{"stat": labtest.Says("/sys/firmware/efi\n"), "od": labtest.Says("   1\n")}, qemu.UEFI, "enforcement is false"},
		{"Secure Boot", checkFirmware, labtest.Node{"stat": labtest.Says("/sys/firmware/efi\n"), "od": labtest.Says("   1\n")}, qemu.SecureBoot, ""},
		{"Secure Boot that is off", checkFirmware, labtest.Node{"stat": labtest.Says("/sys/firmware/efi\n"), "od": labtest.Says("   0\n")}, qemu.SecureBoot, "enforcement is true"},
		{"Secure Boot without its variable", checkFirmware, labtest.Node{"stat": labtest.Says("/sys/firmware/efi\n")}, qemu.SecureBoot, "reading the Secure Boot state"},

		{"root", checkRoot, mounts(goodMounts), "", ""},
		{"root on ext4", checkRoot, mounts("22 1 252:0 / / ro - ext4 /dev/vda1 ro\n"), "", "/ is ext4"},
		{"root that is writable", checkRoot, mounts("22 1 252:0 / / rw - erofs /dev/vda1 rw\n"), "", "must be ro"},
		{"root covered by an overlay", checkRoot, mounts(goodMounts + "99 22 0:9 / / rw - overlay o rw\n"), "", "/ is overlay"},
		{"no root", checkRoot, mounts("nonsense\n"), "", "mountinfo"},

		{"write fails", checkWrite("/x"), labtest.Node{"touch": labtest.Fails("touch: cannot touch '/x': Read-only file system")}, "", ""},
		{"write works", checkWrite("/x"), labtest.Node{"touch": labtest.Says("")}, "", "succeeded"},
		{"write fails for another reason", checkWrite("/x"), labtest.Node{"touch": labtest.Fails("Permission denied")}, "", "Permission denied"},

		{"status", checkStatus, labtest.Node{"kairos-agent": labtest.Says(goodStatus)}, "", ""},
		{"status without agent", checkStatus, labtest.Node{}, "", "No such file"},
		{"status is nonsense", checkStatus, labtest.Node{"kairos-agent": labtest.Says("hello")}, "", "reading the status"},
		{"status: slot b", checkStatus, labtest.Node{"kairos-agent": labtest.Says(replaced(`"slot":"a"`, `"slot":"b"`))}, "", `slot is "b"`},
		{"status: passive", checkStatus, labtest.Node{"kairos-agent": labtest.Says(replaced("active", "passive"))}, "", `mode is "passive"`},
		{"status: no verity", checkStatus, labtest.Node{"kairos-agent": labtest.Says(replaced("verified", "none"))}, "", `verity.state is "none"`},
		{"status: writable", checkStatus, labtest.Node{"kairos-agent": labtest.Says(replaced("true", "false"))}, "", "readOnly"},
		{"status: problems", checkStatus, labtest.Node{"kairos-agent": labtest.Says(replaced("[]", `["the disk is full"]`))}, "", "the disk is full"},

		{"units", lab.Units, running, "", ""},
		{"units: one failed", lab.Units, degraded, "", "foo.service"},
		{"units: its words", lab.Units, degraded, "", "its last words"},
		{"units: still starting", lab.Units, labtest.Node{"systemctl is-system-running": {Stdout: "starting\n", Exit: 1}}, "", `"starting"`},

		{"warnings: none", checkWarnings, labtest.Node{"cat": labtest.Says(`{"warnings":[]}`)}, "", ""},
		{"warnings", checkWarnings, labtest.Node{"cat": labtest.Says(`{"warnings":["persistent is a tmpfs"]}`)}, "", "persistent is a tmpfs"},
		{"udev: nothing", checkUdev, labtest.Node{"journalctl": labtest.Says("\n")}, "", ""},
		{"udev", checkUdev, labtest.Node{"journalctl": labtest.Says("vda: Failed to create/update device symlink '/dev/mapper'")}, "", "vda: Failed"},
		{"udev: no journal", checkUdev, labtest.Node{}, "", "journalctl"},
		{"warnings: no file", checkWarnings, labtest.Node{}, "", "cat /run/cos"},

		{"machine-id", noteMachineID, labtest.Node{"cat": labtest.Says(strings.Repeat("0f", 16) + "\n")}, "", ""},
		{"machine-id: uninitialized", noteMachineID, labtest.Node{"cat": labtest.Says("uninitialized\n")}, "", "32 hexadecimal digits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := &lab.Guest{Runner: tt.node, Boot: tt.boot, Memory: map[string]string{}}
			_, err := tt.check(t.Context(), g)
			labtest.Expect(t, err, tt.want)
		})
	}
}

func TestEphemeralAndPersistent(t *testing.T) {
	var all strings.Builder
	for _, dir := range persistentDirs() {
		fmt.Fprintln(&all, dir)
	}
	first := &lab.Guest{Memory: map[string]string{}, Runner: labtest.Node{"stat": labtest.Says(all.String()), "tee": labtest.Says(lab.MarkerWords), "sync": labtest.Says("")}}
	if _, err := writePersistent(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		check func(context.Context, *lab.Guest) (string, error)
		node  labtest.Node
		want  string
	}{
		{"kept", checkPersistent, labtest.Node{"cat": labtest.Says(lab.MarkerWords)}, ""},
		{"one is gone", checkPersistent, labtest.Node{"cat": labtest.Says(lab.MarkerWords), "cat /var/log": labtest.Fails("No such file")}, "/var/log/.kairos-acceptance"},
		{"one has changed", checkPersistent, labtest.Node{"cat": labtest.Says(lab.MarkerWords), "cat /home": labtest.Says("else")}, `contains "else"`},
		{"all gone", checkEphemeral, labtest.Node{}, ""},
		{"one is left", checkEphemeral, labtest.Node{"stat": labtest.Says("/var/.kairos-acceptance\n")}, "still there after the reboot: /var"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.check(t.Context(), &lab.Guest{Runner: tt.node, Memory: first.Memory})
			labtest.Expect(t, err, tt.want)
		})
	}
	missing := strings.Replace(all.String(), "/var/lib/rancher\n", "", 1)
	_, err := writePersistent(t.Context(), &lab.Guest{Memory: map[string]string{}, Runner: labtest.Node{"stat": labtest.Says(missing), "tee": labtest.Says(""), "sync": labtest.Says("")}})
	labtest.Expect(t, err, "/var/lib/rancher does not exist")
}

func TestSameAfterReboot(t *testing.T) {
	id := strings.Repeat("0f", 16) + "\n"
	g := &lab.Guest{Memory: map[string]string{"machine-id": id, "host-key": "ssh-ed25519 A"}, HostKey: "ssh-ed25519 A", Runner: labtest.Node{"cat": labtest.Says(id)}}
	_, err := checkMachineID(t.Context(), g)
	labtest.Expect(t, err, "")
	_, err = checkHostKey(t.Context(), g)
	labtest.Expect(t, err, "")
	g.Memory = map[string]string{"machine-id": "x", "host-key": "ssh-ed25519 B"}
	_, err = checkMachineID(t.Context(), g)
	labtest.Expect(t, err, "before the reboot")
	_, err = checkHostKey(t.Context(), g)
	labtest.Expect(t, err, "before the reboot")
}

func TestConfig(t *testing.T) {
	login := func(groups string, err error) func(context.Context, string) (lab.Runner, func() error, error) {
		return func(context.Context, string) (lab.Runner, func() error, error) {
			return labtest.Node{"id": labtest.Says(groups)}, func() error { return nil }, err
		}
	}
	good := labtest.Node{"cat": labtest.Says(lab.ConfigWords)}
	tests := []struct {
		name string
		g    *lab.Guest
		want string
	}{
		{"good", &lab.Guest{Runner: good, LoginAs: login("x "+lab.TestGroup+"\n", nil)}, ""},
		{"no file", &lab.Guest{Runner: labtest.Node{}}, "No such file"},
		{"other contents", &lab.Guest{Runner: labtest.Node{"cat": labtest.Says("?")}}, "the cloud-config says"},
		{"no login", &lab.Guest{Runner: good, LoginAs: login("", errors.New("refused"))}, "logging in as the user"},
		{"no group", &lab.Guest{Runner: good, LoginAs: login("x\n", nil)}, "must be in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkConfig(t.Context(), tt.g)
			labtest.Expect(t, err, tt.want)
		})
	}
}

func TestGrown(t *testing.T) {
	before := 64 * layout.MiB
	for text, want := range map[string]string{
		fmt.Sprintf("4096 %d\n", (before+lab.ExtraSize)/4096): "",
		fmt.Sprintf("4096 %d\n", before/4096):                 "must have",
		"what\n":                                              "stat says",
	} {
		_, err := compareGrown(text, before)
		labtest.Expect(t, err, want)
	}
}

// TestList checks the invariants of the list.
func TestList(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.Name] {
			t.Errorf("two checks are called %q", c.Name)
		}
		seen[c.Name] = true
		if c.First == nil && c.Second == nil || c.Title == "" {
			t.Errorf("%q checks nothing or has no title", c.Name)
		}
	}
	if n := len(checksFor(qemu.BIOS, qemu.BIOS)); n != len(Checks()) {
		t.Errorf("BIOS: got %d checks, want all %d", n, len(Checks()))
	}
	for _, b := range []qemu.Boot{qemu.UEFI, qemu.SecureBoot} {
		for _, c := range checksFor(b, qemu.BIOS) {
			if c.Second != nil {
				t.Errorf("%s: %q needs a reboot", b, c.Name)
			}
		}
	}
}

func FuzzRootMount(f *testing.F) {
	f.Add(goodMounts)
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := rootMount(s); err == nil && m.path != "/" {
			t.Errorf("got %+v", m)
		}
	})
}

// TestVerity: / must be on dm-verity, with the root hash of the booted disk.
func TestVerity(t *testing.T) {
	disk, err := lab.OpenDisk(labtest.Disk(t, map[string]string{"a": "b"}))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	hash, err := disk.RootHash()
	if err != nil {
		t.Fatal(err)
	}
	const mounts, uuid = "cat /proc/self/mountinfo", "cat /sys/dev/block/252:0/dm/uuid"
	verity := labtest.Node{mounts: labtest.Says(goodMounts), uuid: labtest.Says("CRYPT-VERITY-12ef-kairos-root\n")}
	tests := []struct {
		name, cmdline string
		node          labtest.Node
		want          string
	}{
		{"good", "quiet kairos.roothash=" + hash, verity, ""},
		{"another hash", "kairos.roothash=" + strings.Repeat("0f", 32), verity, "the kernel was given"},
		{"no hash", "quiet", verity, `the root hash ""`},
		{"another mapping", "kairos.roothash=" + hash, labtest.Node{mounts: labtest.Says(goodMounts), uuid: labtest.Says("LVM-x\n")}, "not dm-verity"},
		{"no mapping", "kairos.roothash=" + hash, labtest.Node{mounts: labtest.Says(goodMounts)}, "device-mapper does not know"},
		{"no mounts", "kairos.roothash=" + hash, labtest.Node{}, "No such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkVerity(t.Context(), &lab.Guest{Runner: tt.node, Disk: disk, Cmdline: tt.cmdline})
			labtest.Expect(t, err, tt.want)
		})
	}
}

func TestUnmounted(t *testing.T) {
	const all = "[   90.79] systemd-shutdown[1]: All filesystems unmounted."
	for _, test := range []struct {
		name    string
		console labtest.Console
		want    string // of the error; empty: passes
	}{
		{"all", labtest.Console{"(sd-umount)[439]: Unmounting '/var/log'.", all}, ""},
		{"one by a unit that fails", labtest.Console{"[FAILED] Failed unmounting var-log.mount - /var/log.", all}, "Failed unmounting var-log"},
		{"one that stays", labtest.Console{"(sd-umount)[8]: Failed to unmount /oem: Device or resource busy", all}, "Failed to unmount /oem"},
		{"a shutdown that was cut off", labtest.Console{"systemd-shutdown[1]: Unmounting file systems."}, "nothing on the console"},
	} {
		err := unmounted(test.console)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
