// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// Parts of the test's cloud-config; checkConfig checks their effects.
const (
	AccessFile  = "99_kairos_acceptance.yaml" // in the oem partition; its name sorts late, as later files win
	TestUser    = "kairos-acceptance"
	TestGroup   = "kairos-accept-grp"
	ConfigFile  = "/etc/kairos-acceptance.conf"
	ConfigWords = "written by a cloud-config\n"
)

// rootAccessFile comes after the user's configs. It only lets root log in.
const rootAccessFile = "99_kairos_root.yaml"

// RootAccess returns a patch of a disk that lets the owner of a key log in as root.
func RootAccess(path string, key qemu.Key) (_ qemu.Patch, err error) {
	disk, err := OpenDisk(path)
	if err != nil {
		return qemu.Patch{}, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	doc := map[string]any{"users": []map[string]any{{"name": "root", "ssh_authorized_keys": []string{key.Authorized()}}}}
	data, err := yaml.Marshal(doc)
	if err != nil {
		return qemu.Patch{}, err
	}
	return disk.OEM(map[string][]byte{rootAccessFile: append([]byte("#cloud-config\n"), data...)})
}

// Access is the cloud-config of the test.
func (l *Lab) Access() []byte { return l.access }

// AccessWithout is the cloud-config of the test without the policy: the node goes by that
// of its image.
func (l *Lab) AccessWithout() ([]byte, error) { return access(l.Key.Authorized(), nil) }

// access returns the cloud-config that lets the owner of a key log in, as root and as
// an ordinary user, and writes the policy, unless that is empty.
func access(authorizedKey string, trusted []byte) ([]byte, error) {
	type user struct {
		Name   string   `yaml:"name"`
		Groups []string `yaml:"groups,omitempty"`
		Keys   []string `yaml:"ssh_authorized_keys"`
	}
	type file struct {
		Path        string `yaml:"path"`
		Content     string `yaml:"content"`
		Permissions string `yaml:"permissions"`
	}
	doc := struct {
		Users []user `yaml:"users"`
		Files []file `yaml:"write_files"`
	}{
		Users: []user{
			{Name: "root", Keys: []string{authorizedKey}},
			{Name: TestUser, Groups: []string{TestGroup}, Keys: []string{authorizedKey}},
		},
		Files: []file{{ConfigFile, ConfigWords, "0600"}},
	}
	if trusted != nil {
		doc.Files = append(doc.Files, file{layout.ImagePolicy, string(trusted), "0644"})
	}
	data, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("writing the cloud-config of the test: %w", err)
	}
	return append([]byte("#cloud-config\n"), data...), nil
}
