// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// roomVerb starts this program again inside a room:
//
//	bench --in-room ROOT [FROM:TO]... -- PROGRAM [ARGUMENT]...
const roomVerb = "--in-room"

// A room is a tree in which programs of another distribution run, with its own mount and
// process namespaces. The kernel ends the processes and removes the mounts when the first
// process ends, so nothing can be left behind.
type room struct {
	root  string
	binds [][2]string // from outside, to a folder inside
	log   *os.File
}

// enter returns the command that runs a program inside the room, as root, with the PATH
// of Debian.
func (b *bench) enter(ctx context.Context, r room, argv ...string) *exec.Cmd {
	args := []string{roomVerb, r.root}
	for _, m := range r.binds {
		args = append(args, m[0]+":"+m[1])
	}
	cmd := exec.CommandContext(ctx, b.self, append(append(args, "--"), argv...)...)
	cmd.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "TMPDIR=/var/tmp")
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd
}

// enterRoom is the first process of a room. It mounts what a system expects, makes the
// tree the root, and executes the program. (A chroot is not enough: mkosi makes its own
// namespaces, and pivot_root needs a mount below it.)
func enterRoom(args []string) error {
	if len(args) < 3 {
		return errors.New("BUG: a room wants a root and a program")
	}
	root, args := args[0], args[1:]
	if err := mountRoom(root); err != nil {
		return err
	}
	for ; args[0] != "--"; args = args[1:] {
		from, to, _ := strings.Cut(args[0], ":")
		if err := bindInto(root, from, to); err != nil {
			return err
		}
	}
	if err := pivot(root); err != nil {
		return err
	}
	program, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	return fmt.Errorf("starting %s: %w", program, unix.Exec(program, args[1:], os.Environ()))
}

func mountRoom(root string) error {
	steps := []struct {
		from, to, kind string
		flags          uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{root, root, "", unix.MS_BIND},
		{"proc", root + "/proc", "proc", 0},
		{"/sys", root + "/sys", "", unix.MS_BIND | unix.MS_REC},
		{"/dev", root + "/dev", "", unix.MS_BIND | unix.MS_REC},
		{"tmpfs", root + "/run", "tmpfs", 0},
		{"tmpfs", root + "/tmp", "tmpfs", 0},
	}
	for _, s := range steps {
		if err := unix.Mount(s.from, s.to, s.kind, s.flags, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", s.to, err)
		}
	}
	return nil
}

func bindInto(root, from, to string) error {
	target := filepath.Join(root, to)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(from, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s to %s: %w", from, target, err)
	}
	return nil
}

// pivot makes root the root. The old root is stacked on the same mount point and then
// unmounted (pivot_root(2), "pivot_root(".", ".")").
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("making %s the root: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting go of the old root: %w", err)
	}
	return os.Chdir("/")
}

// giveNames copies the host's files for name resolution into a tree of the benchmark.
func giveNames(root string) error {
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // a host may lack it
		}
		target := filepath.Join(root, name)
		if err := os.RemoveAll(target); err != nil { // it may be a link to nowhere
			return err
		}
		if err := os.WriteFile(target, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
