// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/sshkeys"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// TestApplyStep: a user keeps what the rest of the config gave.
func TestApplyStep(t *testing.T) {
	m := newMachine(t)
	apply(t, m, full)
	before := snapshot(t, m.Root.Dir)
	other := key1 + "-at-home"
	step := &config.Config{Users: []config.User{{Name: "ada", SSHAuthorizedKeys: []string{other}}}}
	for i, want := range []report.Outcome{report.Changed, report.Unchanged} {
		for _, item := range m.ApplyStep(t.Context(), step) {
			if item.Kind == "keys" && item.Outcome != want || item.Outcome == report.Failed {
				t.Errorf("run %d: %s", i, item)
			}
		}
	}
	want := keysBegin + "\n" + key1 + "\n" + key2 + "\n" + other + "\n" + keysEnd + "\n"
	if diff := cmp.Diff(want, text(t, m, "/home/ada/.ssh/authorized_keys")); diff != "" {
		t.Errorf("keys differ (-want +got):\n%s", diff)
	}
	after := snapshot(t, m.Root.Dir)
	for path, data := range before {
		if path != "/home/ada/.ssh/authorized_keys" && after[path] != data {
			t.Errorf("%s changed: %q", path, after[path])
		}
	}
}

// TestApplyStepAlone: an empty step sets no host name, makes no host keys and
// changes no user.
func TestApplyStepAlone(t *testing.T) {
	m := newMachine(t)
	if items := m.ApplyStep(t.Context(), new(config.Config)); len(items) > 0 {
		t.Errorf("got %v", lines(items))
	}
}

func TestApplyStepDry(t *testing.T) {
	m := newMachine(t)
	before := snapshot(t, m.Root.Dir)
	m.Root.Dry = new(tree.DryRun)
	m.ApplyStep(t.Context(), &config.Config{Hostname: "x", Users: []config.User{{Name: "ada", SSHAuthorizedKeys: []string{key1}}}})
	after := snapshot(t, m.Root.Dir)
	delete(after, "/etc/.pwd.lock")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the dry run changed (-before +after):\n%s", diff)
	}
	var paths []string
	for _, c := range m.Root.Dry.Changes() {
		paths = append(paths, c.Path)
	}
	want := []string{"/var/lib/kairos/users.json", "/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow", "/home/ada", "/home/ada/.ssh/authorized_keys", "/etc/hostname", "/etc/hosts"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestStepBeforeUsers: a step of the initramfs stage runs before the top-level
// users are created. Settings that those users leave out stay as the step made them.
func TestStepBeforeUsers(t *testing.T) {
	m := newMachine(t)
	m.Keys = &sshkeys.Store{Root: m.Root}
	m.ApplyStep(t.Context(), &config.Config{Users: []config.User{{Name: "ada", Groups: []string{"sudo"}, Sudo: []string{"ALL=(ALL) ALL"}, SSHAuthorizedKeys: []string{key1}}}})
	apply(t, m, "users: [{name: ada, ssh_authorized_keys: ['"+key2+"']}]")
	if got, want := text(t, m, "/home/ada/.ssh/authorized_keys"), keysBegin+"\n"+key2+"\n"+key1+"\n"+keysEnd+"\n"; got != want {
		t.Errorf("keys %q, want %q", got, want)
	}
	if got := text(t, m, "/etc/sudoers.d/90-kairos-ada"); got != rulesOfStep+"ada ALL=(ALL) ALL\n" {
		t.Errorf("rules %q", got)
	}
	apply(t, m, "users: [{name: ada, sudo: false}]")
	if m.Root.Exists("/etc/sudoers.d/90-kairos-ada") {
		t.Error("the rules of the step stay when the config says that there are none")
	}
}
