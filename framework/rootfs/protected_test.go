// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"strings"
	"testing"
)

func TestProtected(t *testing.T) {
	for path, want := range map[string]string{
		"/boot/vmlinuz":                               "the kernel and its initramfs are there",
		"/usr/bin/kairos-agent":                       "the framework needs its own file /usr/bin/kairos-agent",
		"/usr/lib/systemd/system/kairos-boot.service": "the framework needs its own file",
		"/usr/bin/kairos":                             "the framework needs its own file /usr/bin/kairos", // a link
		"/usr/lib/kairos/cmdline":                     "the framework's data is there",
		"/usr/local/bin/tool":                         "a node mounts its persistent partition there",
		"/oem/90_site.yaml":                           "cloud-configs of the image are in /system/oem",
		"/etc/hosts":                                  "every build writes it",
		"/var/lib/dpkg/status":                        "the package database is there",
		"/etc/kairos-release":                         "it says what the image is",
		"/usr/bin":                                    "the framework needs its own file", // a file in place of the folder
		"/run/site":                                   "a node has a new file system there",
		"/etc/motd":                                   "",
		"/usr/bin/tool":                               "",
		"/etc/hosts.allow":                            "",
		"/system/oem/10_site.yaml":                    "",
		"/usr/lib/systemd/system/site.service":        "",
		"/bootx/a":                                    "",
	} {
		got, err := Protected(path)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
