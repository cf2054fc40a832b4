// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const installText = `#cloud-config
install:
  auto: true
  device: /dev/disk/by-id/ata-X
  source: oci:registry.example/x:v1
  reboot: true
  force: false
  partitions:
    oem: {size: 128, fs: ext4}
    state: {size: 8192}
    recovery: {size: 4096}
    persistent: {size: 0, fs: ext4}
  extra-partitions:
    - {name: data, size: 1024}
    - {label: SHARE, size: 64, fs: vfat}
`

func TestInstall(t *testing.T) {
	c, problems := Decode("a.yaml", []byte(installText))
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	i := Merge(c, &Config{Install: Install{Device: "auto"}}).Install
	for j := range i.Extra {
		i.Extra[j].Origin = Position{}
	}
	yes, no := true, false
	want := Install{
		Auto: &yes, Device: "auto", Source: "oci:registry.example/x:v1", Reboot: &yes, Force: &no,
		Sizes: InstallSizes{OEM: 128, State: 8192, Recovery: 4096},
		Extra: []InstallPartition{{Name: "data", Size: 1024, FileSystem: "ext4"}, {Name: "SHARE", Label: "SHARE", Size: 64, FileSystem: "vfat"}},
	}
	if diff := cmp.Diff(want, i); diff != "" || !i.Asks() {
		t.Error(diff)
	}
}

// TestUnfit: keys that an installer would have to ignore, and mistakes, end it; other
// problems do not.
func TestUnfit(t *testing.T) {
	for text, want := range map[string]string{
		"install: {auto: true}\npackages: [vim]\n":                                                                   "",
		"install: {bind_mounts: [/a], nousers: true}\n":                                                              "",
		"install: {encrypted_partitions: [COS_PERSISTENT, COS_OEM], encryption: {key: tpm}}\nbind-pcrs: [7, '11']\n": "",
		"install: {encrypted_partitions: [DATA, COS_OEM], extra-partitions: [{label: DATA, size: 5}]}\n":             "",
		"install: {encrypted_partitions: [DATA]}\n":                                                                  "", // another file may add it
		"install: {encrypted_partitions: ['a b']}\n":                                                                 `"a b" cannot be a label`,
		"install: {encrypted_partitions: [COS_STATE]}\n":                                                             `"COS_STATE" is none of COS_PERSISTENT, COS_OEM`,
		"install: {encryption: {key: yubikey}}\n":                                                                    `"yubikey" is none of tpm, passphrase`,
		"install: {encryption: {passphrase: \"a\\tb\"}}\n":                                                           "the passphrase has a character that nobody can type",
		"bind-pcrs: [24]\n":                                                         `"24" is no register of a TPM; use numbers from 0 to 23`,
		"install: {bundles: [{targets: [run://x]}]}\n":                              "install.bundles: ",
		"install: {grub_options: {a: b}}\n":                                         "install.grub_options: ",
		"install: {device: 'script:///x'}\n":                                        "a program that names the disk",
		"install: {partitions: {persistent: {size: 5}}}\n":                          "the partition has the rest of the disk",
		"install: {partitions: {oem: {label: X}}}\n":                                "install.partitions.oem.label: ",
		"install: {partitions: {oem: {fs: xfs}}}\n":                                 `"xfs" is none of ext4`,
		"install: {devise: auto}\n":                                                 `did you mean "device"?`,
		"install: {part-table: msdos}\n":                                            "a disk has a GUID partition table",
		"install: {extra-partitions: [{name: oem, size: 5}]}\n":                     `the node has a partition with the name "oem"`,
		"install: {extra-partitions: [{name: a}]}\n":                                "the partition has no size",
		"install: {extra-partitions: [{size: 5}]}\n":                                "the partition has no name",
		"install: {extra-partitions: [{name: a, size: 5}, {name: a, size: 5}]}\n":   "listed twice",
		"install: {extra-partitions: [{label: ABCDEFGHIJKL, size: 5, fs: vfat}]}\n": "too long for vfat",
		"install: {extra-partitions: [{name: a, size: 5, mountpoint: /a}]}\n":       "mountpoint",
		"hostnam: x\ninstall: {auto: true}\n":                                       "did you mean \"hostname\"?",
	} {
		_, problems := Decode("a.yaml", []byte(text))
		bad := Unfit(problems)
		if want == "" && len(bad) > 0 || want != "" && !strings.Contains(bad.Error(), want) {
			t.Errorf("%s: %s", text, bad.Error())
		}
	}
}
