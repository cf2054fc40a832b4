// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// A node is a Runner that answers command lines, by their longest known beginning.
type node map[string]qemu.Output

func (n node) RunInput(_ context.Context, _ string, argv ...string) (qemu.Output, error) {
	line := strings.Join(argv, " ")
	best := "\x00"
	for prefix := range n {
		if strings.HasPrefix(line, prefix) && (best == "\x00" || len(prefix) > len(best)) {
			best = prefix
		}
	}
	if best == "\x00" {
		return qemu.Output{Stderr: argv[0] + ": No such file or directory", Exit: 1}, nil
	}
	return n[best], nil
}

func says(text string) qemu.Output { return qemu.Output{Stdout: text} }

func fails(words string) qemu.Output { return qemu.Output{Stderr: words, Exit: 1} }

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
	running := node{"systemctl is-system-running": says("running\n")}
	degraded := node{
		"systemctl is-system-running": {Stdout: "degraded\n", Exit: 1},
		"systemctl list-units":        says("foo.service loaded failed failed Foo\n"),
		"systemctl status":            {Stdout: "x foo.service: its last words", Exit: 3},
	}
	mounts := func(text string) node { return node{"cat /proc/self/mountinfo": says(text)} }
	tests := []struct {
		name  string
		check func(context.Context, *Guest) (string, error)
		node  node
		boot  qemu.Boot
		want  string // of the error; empty: passes
	}{
		{"BIOS", checkFirmware, node{}, qemu.BIOS, ""},
		{"BIOS that is UEFI", checkFirmware, node{"stat": says("/sys/firmware/efi\n")}, qemu.BIOS, "without UEFI"},
		{"UEFI", checkFirmware, node{"stat": says("/sys/firmware/efi\n"), "od": says("   0\n")}, qemu.UEFI, ""},
		{"UEFI that is BIOS", checkFirmware, node{}, qemu.UEFI, "not started by UEFI"},
		{"UEFI with Secure Boot", checkFirmware, node{"stat": says("/sys/firmware/efi\n"), "od": says("   1\n")}, qemu.UEFI, "enforcement is false"},
		{"Secure Boot", checkFirmware, node{"stat": says("/sys/firmware/efi\n"), "od": says("   1\n")}, qemu.SecureBoot, ""},
		{"Secure Boot that is off", checkFirmware, node{"stat": says("/sys/firmware/efi\n"), "od": says("   0\n")}, qemu.SecureBoot, "enforcement is true"},
		{"Secure Boot without its variable", checkFirmware, node{"stat": says("/sys/firmware/efi\n")}, qemu.SecureBoot, "reading the Secure Boot state"},

		{"root", checkRoot, mounts(goodMounts), "", ""},
		{"root on ext4", checkRoot, mounts("22 1 252:0 / / ro - ext4 /dev/vda1 ro\n"), "", "/ is ext4"},
		{"root that is writable", checkRoot, mounts("22 1 252:0 / / rw - erofs /dev/vda1 rw\n"), "", "must be ro"},
		{"root covered by an overlay", checkRoot, mounts(goodMounts + "99 22 0:9 / / rw - overlay o rw\n"), "", "/ is overlay"},
		{"no root", checkRoot, mounts("nonsense\n"), "", "mountinfo"},

		{"write fails", checkWrite("/x"), node{"touch": fails("touch: cannot touch '/x': Read-only file system")}, "", ""},
		{"write works", checkWrite("/x"), node{"touch": says("")}, "", "succeeded"},
		{"write fails for another reason", checkWrite("/x"), node{"touch": fails("Permission denied")}, "", "Permission denied"},

		{"status", checkStatus, node{"kairos-agent": says(goodStatus)}, "", ""},
		{"status without agent", checkStatus, node{}, "", "No such file"},
		{"status is nonsense", checkStatus, node{"kairos-agent": says("hello")}, "", "reading the status"},
		{"status: slot b", checkStatus, node{"kairos-agent": says(replaced(`"slot":"a"`, `"slot":"b"`))}, "", `slot is "b"`},
		{"status: passive", checkStatus, node{"kairos-agent": says(replaced("active", "passive"))}, "", `mode is "passive"`},
		{"status: no verity", checkStatus, node{"kairos-agent": says(replaced("verified", "none"))}, "", `verity.state is "none"`},
		{"status: writable", checkStatus, node{"kairos-agent": says(replaced("true", "false"))}, "", "readOnly"},
		{"status: problems", checkStatus, node{"kairos-agent": says(replaced("[]", `["the disk is full"]`))}, "", "the disk is full"},

		{"units", checkUnits, running, "", ""},
		{"units: one failed", checkUnits, degraded, "", "foo.service"},
		{"units: its words", checkUnits, degraded, "", "its last words"},
		{"units: still starting", checkUnits, node{"systemctl is-system-running": {Stdout: "starting\n", Exit: 1}}, "", `"starting"`},

		{"warnings: none", checkWarnings, node{"cat": says(`{"warnings":[]}`)}, "", ""},
		{"warnings", checkWarnings, node{"cat": says(`{"warnings":["persistent is a tmpfs"]}`)}, "", "persistent is a tmpfs"},
		{"warnings: no file", checkWarnings, node{}, "", "cat /run/cos"},

		{"machine-id", noteMachineID, node{"cat": says(strings.Repeat("0f", 16) + "\n")}, "", ""},
		{"machine-id: uninitialized", noteMachineID, node{"cat": says("uninitialized\n")}, "", "32 hexadecimal digits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := &Guest{Runner: tt.node, Boot: tt.boot, Memory: map[string]string{}}
			_, err := tt.check(t.Context(), g)
			expect(t, err, tt.want)
		})
	}
}

func expect(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

func TestEphemeralAndPersistent(t *testing.T) {
	var all strings.Builder
	for _, dir := range persistentDirs() {
		fmt.Fprintln(&all, dir)
	}
	first := &Guest{Memory: map[string]string{}, Runner: node{"stat": says(all.String()), "tee": says(markerWords), "sync": says("")}}
	if _, err := writePersistent(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		check func(context.Context, *Guest) (string, error)
		node  node
		want  string
	}{
		{"kept", checkPersistent, node{"cat": says(markerWords)}, ""},
		{"one is gone", checkPersistent, node{"cat": says(markerWords), "cat /var/log": fails("No such file")}, "/var/log/.kairos-acceptance"},
		{"one has changed", checkPersistent, node{"cat": says(markerWords), "cat /home": says("else")}, `contains "else"`},
		{"all gone", checkEphemeral, node{}, ""},
		{"one is left", checkEphemeral, node{"stat": says("/var/.kairos-acceptance\n")}, "still there after the reboot: /var"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.check(t.Context(), &Guest{Runner: tt.node, Memory: first.Memory})
			expect(t, err, tt.want)
		})
	}
	missing := strings.Replace(all.String(), "/var/lib/rancher\n", "", 1)
	_, err := writePersistent(t.Context(), &Guest{Memory: map[string]string{}, Runner: node{"stat": says(missing), "tee": says(""), "sync": says("")}})
	expect(t, err, "/var/lib/rancher does not exist")
}

func TestSameAfterReboot(t *testing.T) {
	id := strings.Repeat("0f", 16) + "\n"
	g := &Guest{Memory: map[string]string{"machine-id": id, "host-key": "ssh-ed25519 A"}, HostKey: "ssh-ed25519 A", Runner: node{"cat": says(id)}}
	_, err := checkMachineID(t.Context(), g)
	expect(t, err, "")
	_, err = checkHostKey(t.Context(), g)
	expect(t, err, "")
	g.Memory = map[string]string{"machine-id": "x", "host-key": "ssh-ed25519 B"}
	_, err = checkMachineID(t.Context(), g)
	expect(t, err, "before the reboot")
	_, err = checkHostKey(t.Context(), g)
	expect(t, err, "before the reboot")
}

func TestConfig(t *testing.T) {
	login := func(groups string, err error) func(context.Context, string) (Runner, func() error, error) {
		return func(context.Context, string) (Runner, func() error, error) {
			return node{"id": says(groups)}, func() error { return nil }, err
		}
	}
	good := node{"cat": says(configWords)}
	tests := []struct {
		name string
		g    *Guest
		want string
	}{
		{"good", &Guest{Runner: good, LoginAs: login("x "+testGroup+"\n", nil)}, ""},
		{"no file", &Guest{Runner: node{}}, "No such file"},
		{"other contents", &Guest{Runner: node{"cat": says("?")}}, "the cloud-config says"},
		{"no login", &Guest{Runner: good, LoginAs: login("", errors.New("refused"))}, "logging in as the user"},
		{"no group", &Guest{Runner: good, LoginAs: login("x\n", nil)}, "must be in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkConfig(t.Context(), tt.g)
			expect(t, err, tt.want)
		})
	}
}

func TestGrown(t *testing.T) {
	before := 64 * layout.MiB
	for text, want := range map[string]string{
		fmt.Sprintf("4096 %d\n", (before+extraSize)/4096): "",
		fmt.Sprintf("4096 %d\n", before/4096):             "must have",
		"what\n":                                          "stat says",
	} {
		_, err := compareGrown(text, before)
		expect(t, err, want)
	}
}

func TestReadOutcome(t *testing.T) {
	v := Victim{File: "/f", Data: []byte("right data"), Offset: 7}
	tests := []struct {
		name string
		out  qemu.Output
		want string
	}{
		{"I/O error at once", fails("cat: /f: Input/output error"), ""},
		{"I/O error later", qemu.Output{Stdout: "right", Stderr: "Input/output error", Exit: 1}, ""},
		{"wrong data, then I/O error", qemu.Output{Stdout: "wrong", Stderr: "Input/output error", Exit: 1}, "wrong data before"},
		{"another error", fails("cat: /f: Permission denied"), "not because of dm-verity"},
		{"right data", says("right data"), "not in its way"},
		{"wrong data", says("Xight data"), "WRONG DATA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readOutcome(v, tt.out)
			expect(t, err, tt.want)
		})
	}
}

func TestStopOutcome(t *testing.T) {
	v := Victim{File: "/f", Data: []byte("right data"), Offset: 7}
	const words = "device-mapper: verity: 254:4: data block 7 is corrupted"
	tests := []struct {
		name, read, words string
		want              string
	}{
		{"a panic at once", "", words, ""},
		{"a panic later", "right", words, ""},
		{"wrong data before the panic", "rXght", words, "WRONG DATA"},
		{"more than the file before the panic", "right data and", words, "WRONG DATA"},
		{"an end that has nothing to do with it", "right", "", "not because of dm-verity: lost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := stopOutcome(v, says(tt.read), tt.words, errors.New("lost"))
			expect(t, err, tt.want)
		})
	}
}

// TestList holds what a list must have to be worth something.
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
	if n := len(checksFor(qemu.BIOS)); n != len(Checks()) {
		t.Errorf("BIOS: got %d checks, want all %d", n, len(Checks()))
	}
	for _, b := range []qemu.Boot{qemu.UEFI, qemu.SecureBoot} {
		for _, c := range checksFor(b) {
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
