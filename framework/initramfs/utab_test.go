// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestMarkedMounts(t *testing.T) {
	const mountinfo = `1 1 0:2 / / rw - rootfs rootfs rw
20 1 0:19 / /proc rw,nosuid - proc proc rw
24 1 253:0 / /sysroot ro,relatime - erofs /dev/dm-0 ro
25 24 254:9 / /sysroot/usr/local rw,noatime - ext4 /dev/vda9 rw
26 24 0:25 / /sysroot/etc rw shared:7 master:1 - overlay overlay rw,lowerdir=/sysroot/etc
27 26 254:9 /.state/a\040path.bind /sysroot/etc/a\040path rw - ext4 /dev/vda9 rw
28 24 0:26 / /sysrootless rw - tmpfs tmpfs rw
29 20 11:0 / /run/initramfs/live ro - iso9660 /dev/sr0 ro
malformed /sysroot/x - ext4
`
	want := `SRC=/dev/vda9 TARGET=/usr/local ROOT=/ OPTS=x-initrd.mount
SRC=overlay TARGET=/etc ROOT=/ OPTS=x-initrd.mount
SRC=/dev/vda9 TARGET=/etc/a\040path ROOT=/.state/a\040path.bind OPTS=x-initrd.mount
SRC=/dev/sr0 TARGET=/run/initramfs/live ROOT=/ OPTS=x-initrd.mount
`
	if got := markedMounts(mountinfo, "/sysroot"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
