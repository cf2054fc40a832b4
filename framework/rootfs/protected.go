// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
)

// fixed are paths, and all below them, that an image gets from elsewhere than from the
// files of a site, and what to do instead.
var fixed = []struct{ path, why string }{
	{"/boot", "the kernel and its initramfs are there"},
	{layout.ImageBoot, "the boot loader is there"},
	{"/usr/lib/kairos", "the framework's data is there"},
	{layout.ImageRelease, "it says what the image is; every build writes it"},
	{"/etc/kairos", "the policy of the image is there; use --policy"},
	{"/etc/hosts", "every build writes it; add names with the cloud-config"},
	{"/etc/resolv.conf", "it is systemd-resolved's; set servers with the cloud-config"},
	{"/etc/machine-id", "an image has no identity"},
	{"/etc/passwd", "packages add users to it; use a command such as useradd, or the cloud-config"},
	{"/etc/shadow", "packages add users to it; use a command such as useradd, or the cloud-config"},
	{"/etc/group", "packages add groups to it; use a command such as groupadd, or the cloud-config"},
	{"/etc/gshadow", "packages add groups to it; use a command such as groupadd, or the cloud-config"},
	{"/var/lib/dpkg", "the package database is there; name packages instead"},
	{"/usr/lib/sysimage/rpm", "the package database is there; name packages instead"},
}

// hidden are mount points of a node: what an image has below them is not seen.
var hidden = []struct{ path, why string }{
	{layout.MountPersistent, "a node mounts its persistent partition there; use another place below /usr, such as /usr/bin or /usr/lib"},
	{layout.MountOEM, "a node mounts a partition there; cloud-configs of the image are in /system/oem"},
	{"/run", "a node has a new file system there at each boot; use /usr/lib/tmpfiles.d"},
	{"/tmp", "a node has a new file system there at each boot; use /usr/lib/tmpfiles.d"},
	{"/dev", "the kernel makes what is there"},
	{"/proc", "the kernel makes what is there"},
	{"/sys", "the kernel makes what is there"},
}

// Protected says why a site may not put a file at a path, which must be absolute and clean.
// It is empty if the path is free.
func Protected(path string) (string, error) {
	for _, p := range slices.Concat(fixed, hidden) {
		if path == p.path || strings.HasPrefix(path, p.path+"/") {
			return p.why, nil
		}
	}
	own, err := Own()
	if err != nil {
		return "", err
	}
	for _, name := range own {
		if path == name || strings.HasPrefix(name, path+"/") {
			return fmt.Sprintf("the framework needs its own file %s", name), nil
		}
	}
	return "", nil
}

// Own lists the absolute paths of the framework's files in an image.
func Own() ([]string, error) {
	files, err := contents()
	if err != nil {
		return nil, err
	}
	all := []string{"/usr/bin/" + payload.Agent}
	for name := range files {
		all = append(all, "/"+name)
	}
	for name := range links {
		all = append(all, "/"+name)
	}
	return all, nil
}
