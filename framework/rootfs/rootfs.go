// SPDX-License-Identifier: Apache-2.0

// Package rootfs holds the static files of the framework: they are copied into
// every image as they are. It decides which of the distribution's services a
// node runs. It adds no user: an image has no password and no key.
package rootfs

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

//go:embed all:files
var embedded embed.FS

const base = "files"

// modes are those of the files that are not 0644; embedding loses them.
var modes = map[string]fs.FileMode{
	"etc/sudoers.d/10-kairos-admin":        0o440,
	"etc/ssh/sshd_config.d/50-kairos.conf": 0o600,
}

// links are symbolic links, which cannot be embedded: path and target.
var links = map[string]string{
	"usr/lib/systemd/system/sysinit.target.wants/kairos-boot.service":        "../kairos-boot.service",
	"usr/lib/systemd/system/sysinit.target.wants/kairos-trial.timer":         "../kairos-trial.timer",
	"usr/lib/systemd/system/multi-user.target.wants/kairos-announced.target": "../kairos-announced.target",
	"usr/lib/systemd/system/multi-user.target.wants/kairos-settle.service":   "../kairos-settle.service",
	// Without the mark of a live system these units start no process.
	"usr/lib/systemd/system/multi-user.target.wants/kairos-install.service":             "../kairos-install.service",
	"usr/lib/systemd/system/multi-user.target.wants/kairos-install-interactive.service": "../kairos-install-interactive.service",
	// Without its kernel argument this unit starts no process.
	"usr/lib/systemd/system/multi-user.target.wants/kairos-reset.service": "../kairos-reset.service",
	// The stages of the cloud-config: without the mark of kairos-boot.service
	// these units start no process.
	"usr/lib/systemd/system/multi-user.target.wants/kairos-stage-boot.service": "../kairos-stage-boot.service",
	"usr/lib/systemd/system/multi-user.target.wants/kairos-kubernetes.service": "../kairos-kubernetes.service",
	"usr/lib/systemd/system/timers.target.wants/kairos-stage-network.timer":    "../kairos-stage-network.timer",
	"usr/lib/systemd/system/timers.target.wants/kairos-stage-reconcile.timer":  "../kairos-stage-reconcile.timer",
	"usr/lib/systemd/system/timers.target.wants/kairos-datasource.timer":       "../kairos-datasource.timer",
	"usr/lib/systemd/system/timers.target.wants/kairos-upgrade.timer":          "../kairos-upgrade.timer",
	// The generator would mount the EFI partition at /boot, which is empty in a slot.
	"etc/systemd/system-generators/systemd-gpt-auto-generator": "/dev/null",
	// Kairos's documentation calls the agent kairos.
	"usr/bin/kairos": "kairos-agent",
}

// off are units of the distribution that make no sense on a node, and why.
// Each gets a drop-in with a condition that is never met. A mask is no choice: it
// would have to be in the persistent /etc/systemd.
var off = []struct{ unit, why string }{
	{"apt-daily.timer", "Packages come with an image; the root is read-only."},
	{"apt-daily.service", "Packages come with an image; the root is read-only."},
	{"apt-daily-upgrade.timer", "Packages come with an image; the root is read-only."},
	{"apt-daily-upgrade.service", "Packages come with an image; the root is read-only."},
	{"dpkg-db-backup.timer", "The package database never changes."},
	{"dpkg-db-backup.service", "The package database never changes."},
	{"man-db.timer", "The manual pages never change."},
	{"e2scrub_all.timer", "It scrubs LVM snapshots; there is no LVM."},
	{"e2scrub_reap.service", "It scrubs LVM snapshots; there is no LVM."},
	{"systemd-remount-fs.service", "The root is EROFS and stays read-only."},
	{"systemd-firstboot.service", "It would ask questions on the console; the cloud-config answers them."},
	{"systemd-machine-id-commit.service", "The initramfs keeps the machine id."},
	{"systemd-boot-update.service", "The framework owns the EFI partition."},
	{"systemd-update-done.service", "It would note in /etc that /usr was updated; /etc is new at every boot."},
	{"ldconfig.service", "The cache is part of the image."},
	{"systemd-hwdb-update.service", "The database is part of the image."},
	{"systemd-journal-catalog-update.service", "The catalog is part of the image."},
	{"sshd-keygen.service", "kairos-agent makes the host keys, without the slow RSA one, and repairs damaged ones."},
}

// dropIn makes systemd skip a unit: the directory is in every image of ours.
func dropIn(why string) []byte {
	return []byte("# SPDX-License-Identifier: Apache-2.0\n# " + why + "\n\n[Unit]\nConditionPathExists=!/usr/lib/kairos\n")
}

// updated is the text of .updated, the file which says that /etc and /var match
// /usr: see ConditionNeedsUpdate= in systemd.unit(5). The file has the time of the
// image, so that no boot runs the jobs of an update.
const updated = "# The image was built as a whole: nothing is to be brought up to date at boot.\n"

// Walk calls fn for every file and link, sorted by path. Paths are relative
// and clean; mode holds permission bits, and the type fs.ModeSymlink for
// links, whose data is nil. Parents that the image lacks get mode 0755; root:root
// owns everything.
func Walk(fn func(path string, mode fs.FileMode, data []byte, link string) error) error {
	files, err := contents()
	if err != nil {
		return err
	}
	paths := slices.Concat(slices.Collect(maps.Keys(files)), slices.Collect(maps.Keys(links)))
	slices.Sort(paths)
	for _, path := range paths {
		mode, link := modeOf(path), links[path]
		if err := fn(path, mode, files[path], link); err != nil {
			return err
		}
	}
	return nil
}

func modeOf(path string) fs.FileMode {
	if links[path] != "" {
		return fs.ModeSymlink | 0o777
	}
	if m, ok := modes[path]; ok {
		return m
	}
	return 0o644
}

// contents returns the embedded files and those made from tables.
func contents() (map[string][]byte, error) {
	out := map[string][]byte{"etc/.updated": []byte(updated), "var/.updated": []byte(updated)}
	for _, o := range off {
		out["usr/lib/systemd/system/"+o.unit+".d/10-kairos.conf"] = dropIn(o.why)
	}
	err := fs.WalkDir(embedded, base, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := embedded.ReadFile(path)
		out[strings.TrimPrefix(path, base+"/")] = data
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the framework's files: %w", err)
	}
	return out, nil
}
