// SPDX-License-Identifier: Apache-2.0

package rpmrepo

import (
	"strings"
	"testing"
)

// KernelVersion is that of the kernel of Tiny.
const KernelVersion = "6.12.0-1.tiny"

// Tiny are the packages of a distribution that an image can be made of, and that cannot boot:
// a shell that is everything (busybox), a kernel without modules that is with its modules, and
// a boot loader of texts. Its scriptlets need the root that they run in.
func Tiny(t testing.TB) []Package {
	t.Helper()
	machine := "x86_64"
	return []Package{
		{
			Name: "filesystem", Dirs: []string{"/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/var", "/var/lib", "/root", "/run", "/tmp", "/proc", "/sys", "/dev"},
			Links:    map[string]string{"/bin": "usr/bin", "/sbin": "usr/bin", "/usr/sbin": "bin", "/lib": "usr/lib", "/lib64": "usr/lib64"},
			Sections: "%pretrans -p <lua>\nposix.mkdir(\"/usr\")\n",
		},
		{Name: "setup", Tags: []string{"Requires: filesystem"}, Files: map[string]string{
			"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:2:2::/:/bin/false\n", "/etc/group": "root:x:0:\ndaemon:x:2:\n", "/etc/hosts": "127.0.0.1 tiny\n",
		}},
		{Name: "tiny-release", Tags: []string{"Requires: filesystem"}, Files: map[string]string{
			"/usr/lib/os-release": "ID=tiny\nVERSION_ID=\"9.1\"\nNAME=Tiny\n",
		}, Links: map[string]string{"/etc/os-release": "../usr/lib/os-release"}},
		{
			Name: "bash", Arch: machine, Tags: []string{"Requires: filesystem, setup", "Provides: /bin/sh"},
			Copies: map[string]string{"/usr/bin/busybox": where(t, "busybox")}, Links: applets("sh", "cat", "echo", "chown", "mkdir", "touch", "true"),
			Sections: "%post\nmkdir -p /usr/share && test -d /proc/self && echo ran > /usr/share/ran\n",
		},
		{Name: "systemd", Tags: []string{"Requires: bash"}, Files: units("ssh", "systemd-networkd", "systemd-networkd-wait-online", "chronyd")},
		{
			Name: "app", Version: "1.5", Release: "2", Epoch: "3", Tags: []string{"Requires: bash, app-data >= 1", "Requires(post): bash"},
			Files:    map[string]string{"/usr/bin/app": "#!/bin/sh\n"},
			Sections: "%post\necho 1 > /usr/share/app-ran\nchown daemon /usr/share/app-ran\n",
		},
		{Name: "app-data", Files: map[string]string{"/usr/share/app/data": "data\n"}},
		{Name: "foe", Tags: []string{"Conflicts: app", "Requires: bash"}},
		{Name: "needy", Tags: []string{"Requires: nothing-has-this >= 3"}},
		{Name: "kmod", Tags: []string{"Requires: bash"}, Files: map[string]string{"/usr/bin/depmod": "#!/bin/sh\nexit 0\n"}},
		{
			Name: "grub2-tools", Tags: []string{"Requires: bash"},
			Files: map[string]string{"/usr/bin/grub2-mkimage": mkimage, "/usr/lib/grub/i386-pc/boot.img": "boot", "/usr/lib/grub/i386-pc/boot_hybrid.img": "hybrid"},
		},
		Kernel("/lib/modules/" + KernelVersion + "/vmlinuz"),
		{Name: "shim-x64", Files: map[string]string{"/boot/efi/EFI/tiny/shimx64.efi": "shim", "/boot/efi/EFI/tiny/mmx64.efi": "mok"}},
		{Name: "grub2-efi-x64", Files: map[string]string{"/boot/efi/EFI/tiny/grubx64.efi": "grub"}},
	}
}

// mkimage writes what it was called with to the file of --output.
const mkimage = `#!/bin/sh
all="$*"
while [ "$1" != --output ]; do shift; done
echo "$all" > "$2"
`

// Kernel is the kernel of Tiny, at another path.
func Kernel(vmlinuz string) Package {
	dir := "/lib/modules/" + KernelVersion + "/"
	return Package{Name: "kernel-core", Tags: []string{"Requires: dracut"}, Sections: "%post\nexit 1\n", Files: map[string]string{
		vmlinuz: "a kernel", dir + "config": "CONFIG_EROFS_FS=y\nCONFIG_DM_VERITY=y\nCONFIG_SQUASHFS=y\n",
		dir + "modules.builtin": builtin(), dir + "modules.dep": "", dir + "modules.order": "", dir + "modules.softdep": "", dir + "modules.alias": "", dir + "modules.builtin.modinfo": "",
	}}
}

// builtin lists the modules that an initramfs must have as parts of the kernel.
func builtin() string {
	var lines []string
	for _, name := range []string{"erofs", "squashfs", "dm-verity", "dm-mod", "loop", "ext4", "vfat", "overlay", "nls_cp437", "nls_ascii", "virtio_blk", "virtio_pci"} {
		lines = append(lines, "kernel/"+name+".ko\n")
	}
	return strings.Join(lines, "")
}

// units are services, and a program that turns them on.
func units(names ...string) map[string]string {
	files := map[string]string{"/usr/bin/systemctl": "#!/bin/sh\nexit 0\n"}
	for _, name := range names {
		files["/usr/lib/systemd/system/"+name+".service"] = "[Service]\n"
	}
	return files
}

func applets(names ...string) map[string]string {
	links := map[string]string{}
	for _, name := range names {
		links["/usr/bin/"+name] = "busybox"
	}
	return links
}
