// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The operator's file on the disk, and two kinds of user data of the one who owns
// the machine.
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

// TestKeysOfTheOwner: the keys of user data and of meta-data are for a user of the
// user data, or for the default user of the image. Nobody whom the operator lists
// gets one.
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
			if got := call(t, dir, "", "boot"); got.code != 0 {
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
