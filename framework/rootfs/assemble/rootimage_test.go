// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
)

const (
	fullConfig = "CONFIG_EROFS_FS=m\nCONFIG_SQUASHFS=m\nCONFIG_SQUASHFS_ZLIB=y\nCONFIG_SQUASHFS_XATTR=y\n"
	bothThere  = "kernel/fs/erofs/erofs.ko.zst:\nkernel/fs/squashfs/squashfs.ko.zst:\n"
	suseList   = "usr/lib/modprobe.d/60-blacklist_fs-erofs.conf"
	suseAsks   = "install erofs /usr/lib/module-init-tools/unblacklist erofs; /sbin/modprobe --ignore-install erofs\n"
)

func TestChooseRoot(t *testing.T) {
	for _, tt := range []struct {
		name, config, modules string
		files                 map[string]string
		want                  string // the file, or a part of the error
	}{
		{name: "EROFS", config: fullConfig, modules: bothThere, want: "erofs\nthe kernel 6.12-test has it\n"},
		{name: "a kernel without EROFS, as Rocky 9 before 9.4", config: "# CONFIG_EROFS_FS is not set\n" + strings.Replace(fullConfig, "CONFIG_EROFS_FS=m\n", "", 1), modules: "kernel/fs/squashfs/squashfs.ko.xz:\n",
			want: "squashfs\nthe config of the kernel 6.12-test has no CONFIG_EROFS_FS\n"},
		{name: "its module is in a package that is not here", config: fullConfig, modules: "kernel/fs/squashfs/squashfs.ko.xz:\n",
			want: "squashfs\nthe kernel 6.12-test is here without its module erofs\n"},
		{name: "blacklisted, as by SUSE", config: fullConfig, modules: bothThere, files: map[string]string{suseList: "# no support\nblacklist erofs\n" + suseAsks},
			want: "squashfs\n/" + suseList + " forbids EROFS\n"},
		{name: "SUSE asks a person before it is loaded", config: fullConfig, modules: bothThere, files: map[string]string{suseList: suseAsks}, want: "erofs\nthe kernel 6.12-test has it\n"},
		{name: "nothing is installed in its place", config: fullConfig, modules: bothThere, files: map[string]string{"etc/modprobe.d/cis.conf": "install erofs /bin/false\n"},
			want: "squashfs\n/etc/modprobe.d/cis.conf forbids EROFS\n"},
		{name: "another module is blacklisted", config: fullConfig, modules: bothThere, files: map[string]string{suseList: "blacklist minix\n#blacklist erofs\noptions erofs x=1\n"}, want: "erofs\n"},
		{name: "the blacklist is replaced", config: fullConfig, modules: bothThere, files: map[string]string{suseList: "blacklist erofs\n", "etc/modprobe.d/60-blacklist_fs-erofs.conf": "# EROFS is wanted\n"}, want: "erofs\n"},
		{name: "no config", modules: bothThere, want: "erofs\n"},
		{name: "neither", config: "CONFIG_EXT4_FS=y\n", modules: "\n", want: "the config of the kernel 6.12-test has no CONFIG_EROFS_FS, and the config of the kernel 6.12-test has no CONFIG_SQUASHFS: choose a kernel"},
		{name: "SquashFS without attributes", config: strings.NewReplacer("CONFIG_EROFS_FS=m\n", "", "CONFIG_SQUASHFS_XATTR=y", "").Replace(fullConfig), modules: bothThere, want: "has no CONFIG_SQUASHFS_XATTR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			put(t, root, "usr/lib/kairos/x", "")
			put(t, root, "usr/lib/modules/6.12-test/modules.dep", tt.modules)
			if tt.config != "" {
				put(t, root, "usr/lib/modules/6.12-test/config", tt.config)
			}
			for path, text := range tt.files {
				put(t, root, path, text)
			}
			err := chooseRoot(root)
			data, readErr := os.ReadFile(filepath.Join(root, layout.ImageRoot))
			if err == nil && readErr != nil {
				t.Fatal(readErr)
			}
			got := string(data)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUnforbidden: a link to /dev/null in /etc removes the file of the distribution.
func TestUnforbidden(t *testing.T) {
	root := t.TempDir()
	put(t, root, suseList, "blacklist erofs\n")
	put(t, root, "etc/modprobe.d/other.conf", "")
	if err := os.Symlink("/dev/null", filepath.Join(root, "etc/modprobe.d/60-blacklist_fs-erofs.conf")); err != nil {
		t.Fatal(err)
	}
	if by, err := blacklisted(root, "erofs"); by != "" || err != nil {
		t.Errorf("got %q, %v", by, err)
	}
}
