// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// detachMounts keeps new mounts inside this mount namespace. In a chroot, / need not
// be a mount point. Then the mount that holds / cannot be named from inside, and runc
// has no root that it can pivot from; detachMounts solves both.
func detachMounts() error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	if err := outsideChroot(func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "") }); err != nil {
		return fmt.Errorf("from inside a chroot: %w", err)
	}
	if err := makeRootMount(); err != nil {
		return fmt.Errorf("making / of a chroot a mount point: %w; mount it before: mount --bind FOLDER FOLDER", err)
	}
	return nil
}

// outsideChroot runs f on a thread whose root is that of the mount namespace: a
// thread that enters a namespace, even its own, leaves the chroot. The thread is
// never unlocked, so it ends with the goroutine and nothing else gets its root.
func outsideChroot(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := enterOwnNamespace()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func enterOwnNamespace() (err error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer func() { err = errors.Join(err, unix.Close(self)) }()
	return os.NewSyscallError("setns", unix.Setns(self, unix.CLONE_NEWNS))
}

// makeRootMount mounts / over itself and makes that the root of this process.
func makeRootMount() (err error) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return os.NewSyscallError("open_tree", err)
	}
	defer func() { err = errors.Join(err, unix.Close(tree)) }()
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return os.NewSyscallError("move_mount", err)
	}
	if err := unix.Fchdir(tree); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	return os.NewSyscallError("chroot", unix.Chroot("."))
}

// mountCgroups mounts /sys and the control groups if they are missing, as in a
// chroot: runc does not start a container without them.
func mountCgroups() error {
	const sys, groups = "/sys", "/sys/fs/cgroup"
	if !isMounted(sys, unix.SYSFS_MAGIC) && !isMounted(groups, unix.CGROUP2_SUPER_MAGIC, unix.TMPFS_MAGIC) {
		if err := os.MkdirAll(sys, 0o555); err != nil {
			return fmt.Errorf("making the engine's %s: %w", sys, err)
		}
		if err := unix.Mount("sysfs", sys, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("mounting the engine's %s: %w", sys, err)
		}
	}
	if isMounted(groups, unix.CGROUP2_SUPER_MAGIC, unix.TMPFS_MAGIC) { // a tmpfs holds the mounts of version 1
		return nil
	}
	if err := unix.Mount("cgroup2", groups, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting the engine's %s: %w", groups, err)
	}
	return nil
}

// isMounted reports whether path is in a file system of one of these types.
func isMounted(path string, types ...int64) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && slices.Contains(types, st.Type)
}
