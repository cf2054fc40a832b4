// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// ownStages are the stages that the agent of the new root runs before the system's
// own init.
func ownStages() []string { return []string{"rootfs", "initramfs"} }

const (
	agentProgram = "/usr/bin/kairos-agent"
	// stagesTime is the limit for all these stages together. agentGrace is the
	// time for the agent's report after that.
	stagesTime = 90 * time.Second
	agentGrace = 5 * time.Second
)

// runStages has the agent run the steps of the config that come before the system.
// If they fail, the boot goes on: the agent runs again as kairos-boot.service, and
// then runs the stages that have no report.
func (b *boot) runStages() error {
	wanted := namedStages(os.DirFS(sysroot), layout.ConfigDirs(), ownStages())
	if b.args.Live != "" && len(wanted) < len(ownStages()) { // the medium is not below sysroot yet
		wanted = mergeStages(wanted, namedStages(os.DirFS("/"), []string{layout.LiveDir}, ownStages()))
	}
	if len(wanted) == 0 {
		return nil
	}
	if err := b.inRoot(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stagesTime)
		defer cancel()
		for _, name := range wanted {
			if err := b.runAgent(ctx, "run-stage", name); err != nil {
				b.warn("stage %s: %v; see `kairos-agent report`", name, err)
			}
		}
	}); err != nil {
		b.warn("the stages %s run later: %v", strings.Join(wanted, " and "), err)
	}
	return b.state.Write(layout.StateFile) // with these warnings
}

// namedStages returns those of names that occur in a config file in dirs below root. Only
// the agent decodes the files; a node without such steps need not start it. A name
// in a comment starts the agent once for nothing.
func namedStages(root fs.FS, dirs, names []string) []string {
	found := map[string]bool{}
	for _, dir := range dirs {
		entries, err := fs.ReadDir(root, strings.TrimPrefix(dir, "/"))
		if err != nil {
			continue // the agent reports it
		}
		for _, e := range entries {
			data := configText(root, strings.TrimPrefix(path.Join(dir, e.Name()), "/"))
			for _, name := range names {
				found[name] = found[name] || bytes.Contains(data, []byte(name))
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !found[name] })
}

// mergeStages returns the stages of both lists, in their order.
func mergeStages(a, b []string) []string {
	return slices.DeleteFunc(ownStages(), func(name string) bool { return !slices.Contains(a, name) && !slices.Contains(b, name) })
}

// maxConfig is the largest config file that is read, in bytes, as in
// framework/config.
const maxConfig = 16 << 20

// configText returns the content of a config file, and nil for anything else, such
// as a pipe, which would block the boot.
func configText(root fs.FS, name string) []byte {
	if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" {
		return nil
	}
	info, err := fs.Stat(root, name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxConfig {
		return nil // the agent reports it
	}
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return nil
	}
	return data
}

// inRoot calls do while the kernel's file systems are bound into the new root too.
func (b *boot) inRoot(do func()) (err error) {
	shared := movedMounts()
	if b.args.Live != "" {
		shared = append(shared, layout.LiveDir)
	}
	for _, dir := range shared {
		if err := mount.Bind(dir, sysroot+dir); err != nil {
			return err
		}
		defer func() {
			// A process may still use it; MNT_DETACH removes the name at once.
			if e := unix.Unmount(sysroot+dir, unix.MNT_DETACH); e != nil {
				err = errors.Join(err, fmt.Errorf("unmounting %s: %w", sysroot+dir, e))
			}
		}()
	}
	do()
	return nil
}

// runAgent runs the agent of the new root, with all its children in a process
// namespace of their own, which ends with it. At the end of ctx the agent gets
// SIGTERM, so that it writes its report, and is killed after agentGrace.
func (b *boot) runAgent(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, agentProgram, args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "SYSTEMD_OFFLINE=1"}
	cmd.Stdout, cmd.Stderr = &lineLog{say: func(s string) { b.info("%s", s) }}, &lineLog{say: func(s string) { b.log.Warn(s) }}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: sysroot, Cloneflags: unix.CLONE_NEWPID}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = agentGrace
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("it takes more than %v, and was ended", stagesTime)
		}
		return err
	}
	return nil
}

// A lineLog logs text line by line.
type lineLog struct {
	say  func(line string)
	rest []byte
}

// maxLogLine is where a long line is cut, in bytes.
const maxLogLine = 4096

// Write never fails.
func (l *lineLog) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ended := bytes.Cut(l.rest, []byte("\n"))
		if len(line) > maxLogLine {
			line, rest, ended = l.rest[:maxLogLine], l.rest[maxLogLine:], true
		}
		if !ended {
			return len(p), nil
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			l.say(text)
		}
		l.rest = rest
	}
}
