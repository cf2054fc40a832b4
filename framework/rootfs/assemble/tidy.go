// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// leftovers are removed after every step: caches, logs, backups of databases, and
// everything that must differ from node to node.
var leftovers = []string{
	"etc/*-", // passwd-, shadow-, group-, gshadow-, subuid-, subgid-
	"etc/.pwd.lock",
	"etc/ssh/ssh_host_*",
	"etc/ssl/private/ssl-cert-snakeoil.key",
	"run/*",
	"tmp/*",
	"tmp/.[!.]*",
	"var/cache/apt/*.bin",
	"var/cache/apt/archives/*.deb",
	"var/cache/debconf/*-old",
	"var/cache/ldconfig/aux-cache",
	"var/lib/apt/lists/*",
	"var/lib/dbus/machine-id",
	"var/lib/dpkg/*-old",
	"var/lib/dpkg/lock*",
	"var/lib/dpkg/triggers/Lock",
	"var/cache/dnf/*",
	"var/cache/libdnf5/*",
	"var/cache/zypp/*",
	"var/lib/dnf/history*",
	"var/lib/systemd/credential.secret",
	"var/lib/systemd/random-seed",
	"var/log/*.log",
	"var/log/apt/*",
	"var/log/btmp",
	"var/log/faillog",
	"var/log/journal/*",
	"var/log/lastlog",
	"var/log/wtmp",
	"var/tmp/*",
}

// machineID is emptied, not removed: an empty file means that the image has no
// identity yet (machine-id(5)).
const machineID = "etc/machine-id"

// tidy removes leftovers below root and clamps times to epoch.
func tidy(root string, epoch time.Time) error {
	mounts, err := mountPoints("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, pattern := range leftovers {
		if err := removeAll(root, pattern, mounts); err != nil {
			return err
		}
	}
	if err := emptyMachineID(filepath.Join(root, machineID)); err != nil {
		return err
	}
	return clampBelow(root, epoch, mounts)
}

func removeAll(root, pattern string, mounts map[string]bool) error {
	paths, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if mounts[path] || holdsMount(path, mounts) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing a leftover: %w", err)
		}
	}
	return nil
}

func holdsMount(dir string, mounts map[string]bool) bool {
	for mount := range mounts {
		if strings.HasPrefix(mount, dir+"/") {
			return true
		}
	}
	return false
}

func emptyMachineID(path string) error {
	if err := os.Truncate(path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("emptying the machine id: %w", err)
	}
	return nil
}

// clamp sets every time below root that is later than epoch to epoch. Other
// file systems that are mounted below root stay as they are.
func clamp(root string, epoch time.Time) error {
	mounts, err := mountPoints("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	return clampBelow(root, epoch, mounts)
}

func clampBelow(root string, epoch time.Time, mounts map[string]bool) error {
	at := unix.NsecToTimespec(epoch.UnixNano())
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != root && mounts[path] {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !info.ModTime().After(epoch) {
			return nil
		}
		err = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			return fmt.Errorf("setting the time of %s: %w", path, err)
		}
		return nil
	})
}

// mountPoints reads the fifth field of every line of a mountinfo file
// (proc_pid_mountinfo(5)).
func mountPoints(mountinfo string) (map[string]bool, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	points := map[string]bool{}
	scan := bufio.NewScanner(f)
	for scan.Scan() {
		if fields := strings.Fields(scan.Text()); len(fields) > 4 && fields[4] != "/" {
			points[fields[4]] = true
		}
	}
	return points, scan.Err()
}
