// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
)

func openDisk(t *testing.T, files map[string]string) *lab.Disk {
	t.Helper()
	d, err := lab.OpenDisk(labtest.Disk(t, files))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestChecks: a good disk passes, and a flipped byte is found.
func TestChecks(t *testing.T) {
	d := openDisk(t, map[string]string{
		"usr/share/doc/manual": strings.Repeat("all about it. ", 2000), "etc/machine-id": "", "etc/shadow": "root:*:1::\nme:!:1::\n",
	})
	for _, c := range Checks() {
		if _, err := c.Run(t.Context(), d); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	v, err := d.Victim()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(v.Patch().Data, v.Offset); err != nil {
		t.Fatal(err)
	}
	_, err = checkHashTree(t.Context(), d)
	labtest.Expect(t, err, "block")
}

func TestSecrets(t *testing.T) {
	tests := []struct{ name, file, text, want string }{
		{"host key", "etc/ssh/ssh_host_ed25519_key", "x", "an SSH host key"},
		{"machine-id", "etc/machine-id", strings.Repeat("0f", 16), "every node would have"},
		{"private key", "root/.ssh/id_ed25519", "x", "a private key"},
		{"authorized key", "home/me/.ssh/authorized_keys", "x", "let somebody in"},
		{"password", "etc/shadow", "root:$6$salt$hash:1::\n", "root can log in"},
		{"empty password", "etc/shadow", "root::1::\n", "root can log in"},
		{"random seed", "var/lib/systemd/random-seed", "x", "random seed"},
		{"package cache", "var/cache/apt/archives/a_1_amd64.deb", "x", "package cache"},
		{"nothing", "etc/ssh/sshd_config", "x", ""},
		{"uninitialized machine-id", "etc/machine-id", "uninitialized\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkSecrets(t.Context(), openDisk(t, map[string]string{tt.file: tt.text}))
			labtest.Expect(t, err, tt.want)
		})
	}
}

// TestPartitions: each partition must exist, with its number, in both copies of the
// table.
func TestPartitions(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*lab.Disk)
		want  string
	}{
		"renamed":    {func(d *lab.Disk) { d.Table.Partitions[4].Name = "root" }, `has no partition "boot-b"`},
		"renumbered": {func(d *lab.Disk) { d.Table.Partitions[4].Number = 9 }, "has number 9, must have 5"},
		"one copy":   {func(d *lab.Disk) { d.Table.PrimaryFault = errors.New("the first copy is broken") }, "the first copy is broken"},
	} {
		t.Run(name, func(t *testing.T) {
			d := openDisk(t, nil)
			tt.spoil(d)
			_, err := checkPartitions(t.Context(), d)
			labtest.Expect(t, err, tt.want)
		})
	}
}
