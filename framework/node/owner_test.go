// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The operator's file on the disk, and two kinds of user data of the machine's owner.
const (
	siteFile = `#cloud-config
users:
  - {name: root, lock_passwd: true}
  - {name: opsadmin, groups: [admin]}
`
	ownerFile = `#cloud-config
user: tenant
password: "*"
ssh_authorized_keys: ["` + nodeKey + `"]
users: [default]
`
	keysFile = `#cloud-config
ssh_authorized_keys: ["` + nodeKey + `"]
`
)

// TestKeysOfTheOwner: the keys of user data and of meta-data go to a user of the user
// data, or to the default user of the image. No user in the operator's file gets one.
func TestKeysOfTheOwner(t *testing.T) {
	for _, tt := range []struct{ name, userData, metaData, owner string }{
		{"in the user data", ownerFile, "instance-id: i-1\n", "tenant"},
		{"in the meta-data", strings.ReplaceAll(ownerFile, "ssh_authorized_keys", "# ssh_authorized_keys"), metaData, "tenant"},
		{"with no user", keysFile, "instance-id: i-1\n", "debian"},
		{"in the meta-data alone", "", metaData, "debian"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := newNode(t)
			put(t, dir, "oem/90_site.yaml", siteFile)
			put(t, dir, "usr/bin/sudo", "")
			put(t, dir, "root/.keep", "")
			cdrom(t, dir, map[string]string{"user-data": tt.userData, "meta-data": tt.metaData})
			if got := call(t, dir, (*Node).Boot); got.code != 0 {
				t.Fatalf("boot: %+v", got)
			}
			for home, want := range map[string]bool{"root": false, "home/opsadmin": false, "home/" + tt.owner: true} {
				keys, err := os.ReadFile(filepath.Join(dir, home, ".ssh/authorized_keys"))
				if err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				if got := strings.Contains(string(keys), nodeKey); got != want {
					t.Errorf("%s: has the key: %v, want %v", home, got, want)
				}
			}
			rules, err := os.ReadFile(filepath.Join(dir, "etc/sudoers.d/90-kairos-"+tt.owner))
			if want := tt.owner + " ALL=(ALL) NOPASSWD:ALL\n"; err != nil || !strings.HasSuffix(string(rules), want) {
				t.Errorf("sudo: %q, %v", rules, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "etc/sudoers.d/90-kairos-opsadmin")); err == nil {
				t.Error("opsadmin has rules of sudo")
			}
		})
	}
}

// TestFirstBootWithMistakes: on a first boot a file has no earlier correct version. A
// wrong value costs only itself; the node is reachable and reports the error.
func TestFirstBootWithMistakes(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/90.yaml", "hostname: -edge-\nusers:\n- name: ada\n  shell: sh\n  ssh_authorized_keys: ['"+nodeKey+"', broken]\nwrite_files: [{path: /etc/motd, content: hi}]\n")
	got := call(t, dir, (*Node).Boot)
	const line = "kairos: /oem/90.yaml: used without hostname, users[0].shell, users[0].ssh_authorized_keys[1], because of the errors above\n"
	if got.code != 1 || !strings.Contains(got.stderr, line) {
		t.Errorf("boot: %+v\nwant %s", got, line)
	}
	if keys := content(t, dir, "home/ada/.ssh/authorized_keys"); !strings.Contains(keys, nodeKey) {
		t.Errorf("keys: %s", keys)
	}
	if content(t, dir, "etc/motd") != "hi" {
		t.Error("the file is not written")
	}
	if s := call(t, dir, (*Node).showStatus).stdout; !strings.Contains(s, "users[0].shell") {
		t.Errorf("status: %s", s)
	}
}
