// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/slot"
)

// TestStrictSteps: a failed step of this boot fails a trial only if the config is
// strict.
func TestStrictSteps(t *testing.T) {
	for _, c := range []struct {
		name, config string
		restarts     int
		says         string
	}{
		{"not strict", "stages: {boot: [{commands: [exit 3]}]}\n", 0, ""},
		{"strict", "strict: true\nstages: {boot: [{commands: [exit 3]}]}\n", 1, "stages (strict)"},
		{"strict, a step of the early stages", "strict: true\nstages: {fs: [{commands: [exit 3]}]}\n", 1, "stages (strict)"},
		{"strict, and nothing failed", "strict: true\nstages: {boot: [{commands: ['true']}]}\n", 0, ""},
		{"strict, what is no step", "strict: true\nwrite_files: [{path: /etc/passwd/x}]\n", 1, "stages (strict)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, "b", "active", slot.State{Good: "a", Try: "b", Tries: 1})
			put(t, m.Root.Dir, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
			put(t, m.Root.Dir, "oem/10.yaml", c.config)
			m.do(t.Context(), (*Node).Boot)
			m.do(t.Context(), stage("boot"))
			m.do(t.Context(), (*Node).Settle)
			if m.restarts != c.restarts || !strings.Contains(m.out.String(), c.says) {
				t.Errorf("%d restarts: %s", m.restarts, m.out)
			}
		})
	}
}

// TestLastGoodSteps: of the last correct version of a file, only the steps that make
// users and keys run again.
func TestLastGoodSteps(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/90.yaml", "stages: {initramfs: [{name: who, users: {ada: {ssh_authorized_keys: ['"+forgeKey1+"']}}, files: [{path: /etc/made, content: x}]}]}\n")
	put(t, dir, "oem/91.yaml", "hostname: other\n")
	call(t, dir, (*Node).Boot)
	reboot(t, dir)
	put(t, dir, "etc/made", "")
	put(t, dir, "oem/90.yaml", "stages: {initramfs: [{usrs: {}}]}\n")
	got := call(t, dir, (*Node).Boot)
	if got.code != 1 || !strings.Contains(got.stderr, "users and keys are those of its last correct version") {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(content(t, dir, "etc/passwd"), "\nada:") || authorized(t, dir) != "one" {
		t.Errorf("accounts:\n%s\nkeys: %s", content(t, dir, "etc/passwd"), authorized(t, dir))
	}
	if content(t, dir, "etc/made") != "" {
		t.Error("a file of the last correct version was made")
	}
	if content(t, dir, "etc/hostname") != "other\n" {
		t.Error("the file that is correct was not applied")
	}
}

// TestEarlyStagesOnce: `boot` does not run again the stages that /init has run.
func TestEarlyStagesOnce(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "proc/sys/kernel/random/boot_id", "one\n")
	put(t, dir, "oem/90.yaml", strings.ReplaceAll("stages: {rootfs: [{commands: ['echo rootfs >>DIR/ran']}], fs: [{commands: ['echo fs >>DIR/ran']}]}\n", "DIR", dir))
	call(t, dir, stage("rootfs"))
	call(t, dir, (*Node).Boot)
	if got := content(t, dir, "ran"); got != "rootfs\nfs\n" {
		t.Errorf("ran %q", got)
	}
	put(t, dir, "proc/sys/kernel/random/boot_id", "two\n")
	put(t, dir, "ran", "")
	call(t, dir, (*Node).Boot)
	if got := content(t, dir, "ran"); got != "rootfs\nfs\n" {
		t.Errorf("in a boot where /init ran nothing: %q", got)
	}
}
