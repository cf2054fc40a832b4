// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
)

// nobody is a user without rights.
const nobody = 65534

// forNobody makes a folder that nobody can write to.
func forNobody(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestDisksNeedNothing: a user without rights makes every format of a real disk. No other
// program is started, and nothing is mounted.
func TestDisksNeedNothing(t *testing.T) {
	dir, kinds := forNobody(t), factory.DiskKinds()
	if testing.Short() {
		kinds = []string{"raw", "qcow2", "vhdx"} // to deflate the others takes most of the time
	}
	out := withoutRights(t, dir, "disk", e2eImage(t), "-o", filepath.Join(dir, "node"), "--artifact", strings.Join(kinds, ","), "--json")
	var made struct{ Disks []factory.Disk }
	if err := json.Unmarshal(out, &made); err != nil || len(made.Disks) != len(kinds) {
		t.Errorf("%d disks, %v", len(made.Disks), err)
	}
	for _, d := range made.Disks {
		compareWithRaw(t, d, filepath.Join(dir, "node.raw"))
	}
}

// TestMediaNeedNothing: the same for the ISO and the files for the network boot. The ISO
// takes a config afterwards.
func TestMediaNeedNothing(t *testing.T) {
	dir := forNobody(t)
	iso, config, netboot := filepath.Join(dir, "live.iso"), filepath.Join(dir, "site.yaml"), filepath.Join(dir, "netboot")
	if err := os.WriteFile(config, []byte("#cloud-config\nhostname: edge-1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	withoutRights(t, dir, "iso", e2eImage(t), "-o", iso, "--persistent", "1G")
	if err := os.Chmod(iso, 0o666); err != nil {
		t.Fatal(err)
	}
	withoutRights(t, dir, "iso", "add-config", iso, config, "-o", filepath.Join(dir, "site.iso"))
	withoutRights(t, dir, "netboot", e2eImage(t), "-o", netboot, "--cloud-config", config)
	for _, path := range []string{iso, filepath.Join(dir, "site.iso")} {
		if info, err := os.Stat(path); err != nil || info.Size() < 100<<20 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(netboot, "netboot.json")); err != nil || !json.Valid(data) {
		t.Errorf("netboot.json: %q, %v", data, err)
	}
}

// e2eImage is the real image that the environment names.
func e2eImage(t *testing.T) string {
	t.Helper()
	image := os.Getenv("KAIROS_E2E_IMAGE")
	if image == "" {
		t.Skip("KAIROS_E2E_IMAGE names no image (`make e2e` does)")
	}
	image, err := filepath.Abs(image)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// withoutRights runs kairos-build as a user without rights, and checks that it starts no
// other program and mounts nothing. It returns what the command prints.
func withoutRights(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	trace := filepath.Join(dir, "trace")
	cmd := exec.CommandContext(t.Context(), "strace", append([]string{"--seccomp-bpf", "-f", "-o", trace, "-e", "trace=execve,execveat,mount,fsopen,move_mount,umount2,setns,unshare", binary(t)}, args...)...)
	cmd.Env = append(os.Environ(), "KAIROS_BUILD_STATE="+filepath.Join(dir, "state"))
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", args, err, stderr.Bytes())
	}
	wantOneProgram(t, trace)
	return out
}

// killedThread is what strace writes of a thread whose registers it cannot read any more,
// because the end of the process has killed it: whatever the call was, it did not begin.
var killedThread = regexp.MustCompile(`^\d+ +\?\?\?\( <unfinished \.\.\.>$`)

// wantOneProgram checks that a trace has one system call: the start of the program. A loop
// device would need a mount, or rights that the user does not have.
func wantOneProgram(t *testing.T, trace string) {
	t.Helper()
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "(") && !killedThread.MatchString(strings.TrimSpace(line)) {
			calls = append(calls, line)
		}
	}
	if len(calls) != 1 || !strings.Contains(calls[0], "execve(") {
		t.Errorf("want one execve, got\n%s", strings.Join(calls, ""))
	}
}

// compareWithRaw lets QEMU compare a disk with the raw one.
func compareWithRaw(t *testing.T, d factory.Disk, raw string) {
	t.Helper()
	driver := map[string]string{"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "azure": "vpc"}[d.Kind]
	if driver == "" {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "compare", "-f", driver, "-F", "raw", d.Path, raw).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", d.Kind, err, out)
	}
}
