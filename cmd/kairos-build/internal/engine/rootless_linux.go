// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	subid "github.com/moby/sys/user"
)

// The engine of an ordinary user runs in a user namespace: there the user is root, and the
// subordinate IDs of /etc/subuid and /etc/subgid are the users and groups from 1 on. Two
// programs with rights of root write these maps, when the child runs already; then the child
// starts itself anew, which gives it the rights of root in the namespace
// (user_namespaces(7), "Capabilities").

// subordinates is how many IDs an image may use besides root's: 1 to 65535.
const subordinates = 65535

// idMaps are the maps of a user namespace.
type idMaps struct{ users, groups idMap }

// An idMap is a program that writes a map, and its arguments behind the process's number.
type idMap struct {
	program string
	ranges  []string
}

// findIDs finds the maps of an ordinary user; none for root.
func findIDs(euid int) (*idMaps, error) {
	if euid == 0 {
		return nil, nil
	}
	name := strconv.Itoa(euid)
	if u, err := user.LookupId(name); err == nil { // the files may also have numbers
		name = u.Username
	}
	users, err := findMap("newuidmap", "/etc/subuid", name, euid, euid)
	if err != nil {
		return nil, err
	}
	groups, err := findMap("newgidmap", "/etc/subgid", name, euid, os.Getegid())
	if err != nil {
		return nil, err
	}
	return &idMaps{users, groups}, nil
}

// findMap finds the program, and in file the ranges of a user with this name and number. The
// ID own becomes root.
func findMap(program, file, name string, number, own int) (idMap, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return idMap{}, &RootlessError{
			Lacks: "the programs newuidmap and newgidmap",
			Mend:  "install them (apt-get install uidmap, dnf install shadow-utils, zypper install shadow)",
		}
	}
	list, err := subid.ParseSubIDFileFilter(file, func(s subid.SubID) bool { return s.Name == name || s.Name == strconv.Itoa(number) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return idMap{}, fmt.Errorf("looking for the subordinate IDs of %s: %w", name, err)
	}
	m, next := idMap{program: path, ranges: []string{"0", strconv.Itoa(own), "1"}}, int64(1)
	for _, s := range list {
		m.ranges = append(m.ranges, strconv.FormatInt(next, 10), strconv.FormatInt(s.SubID, 10), strconv.FormatInt(s.Count, 10))
		next += s.Count
	}
	if next-1 < subordinates {
		return idMap{}, &RootlessError{
			Lacks: fmt.Sprintf("%d subordinate IDs in %s, which has %d for %s", subordinates, file, next-1, name),
			Mend:  fmt.Sprintf("add them (sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s; other numbers if other users have these)", name),
		}
	}
	return m, nil
}

// write writes the map of a process.
func (m idMap) write(pid int) error {
	cmd := exec.Command(m.program, slices.Concat([]string{strconv.Itoa(pid)}, m.ranges)...) //nolint:forbidigo // it ends at once
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w", m.program, errors.Join(err, errors.New(string(bytes.TrimSpace(output)))))
	}
	return nil
}

// start starts the child. That of an ordinary user waits at a gate until it has its IDs.
func (l launcher) start(cmd *exec.Cmd) error {
	if l.ids == nil {
		return cmd.Start()
	}
	gate, opener, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	cmd.Args = append(cmd.Args, gateFlag, strconv.Itoa(firstFD+len(cmd.ExtraFiles)))
	cmd.ExtraFiles = append(cmd.ExtraFiles, gate)
	if err := cmd.Start(); err != nil {
		return errors.Join(err, gate.Close(), opener.Close())
	}
	err = errors.Join(gate.Close(), l.ids.users.write(cmd.Process.Pid), l.ids.groups.write(cmd.Process.Pid))
	if err == nil {
		_, err = opener.Write([]byte("\n"))
	}
	if err := errors.Join(err, opener.Close()); err != nil {
		_ = cmd.Process.Kill() // it ends by itself: the gate is closed
		_ = cmd.Wait()
		return err
	}
	return nil
}

// gateFlag is the last flag of a child that waits at a gate, with the gate's descriptor.
const gateFlag = "-gate"

// passGate waits for the IDs of this process, and starts it anew, without the gate.
func passGate(fd int, args []string) error {
	gate := os.NewFile(uintptr(fd), "gate")
	if _, err := gate.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("waiting for the IDs of the build engine: %w", err)
	}
	if err := gate.Close(); err != nil {
		return err
	}
	args = args[:slices.Index(args, gateFlag)]
	err := syscall.Exec("/proc/self/exe", slices.Concat([]string{os.Args[0], ChildVerb}, args), os.Environ())
	return fmt.Errorf("starting the build engine anew with its IDs: %w", err)
}

// explain names the setting of the kernel that forbids an ordinary user's namespaces, if
// there is one.
func (l launcher) explain(err error) error {
	if err == nil || l.ids == nil {
		return namespaceError(err)
	}
	if setting, value := restriction("/proc/sys"); setting != "" {
		return fmt.Errorf("%w (%w)", &RootlessError{
			Lacks: "namespaces, and the setting " + setting + " forbids them",
			Mend:  fmt.Sprintf("change it (sudo sysctl %s=%s)", setting, value),
		}, err)
	}
	return err
}

// restriction returns a setting below the folder sys that forbids namespaces of ordinary
// users, and the value that allows them: of Debian before 11, of Red Hat, and of Ubuntu since
// 23.10, where AppArmor takes away the rights in such a namespace.
func restriction(sys string) (setting, value string) {
	for _, s := range []struct{ setting, bad, good string }{
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"user.max_user_namespaces", "0", "15000"},
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
	} {
		data, err := os.ReadFile(filepath.Join(sys, strings.ReplaceAll(s.setting, ".", "/")))
		if err == nil && strings.TrimSpace(string(data)) == s.bad { // without the file there is no such setting
			return s.setting, s.good
		}
	}
	return "", ""
}

// try starts a child that ends as soon as it has its namespaces and mounts, and has run a
// program of the platform, if that is not this machine's own.
func (l launcher) try(ctx context.Context, platform string) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", slices.Concat([]string{ChildVerb, "-try", "-platform", platform}, l.placeArgs())...)
	l.isolated(cmd)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := l.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("trying the build engine: %w", l.explain(told(err, output.Bytes())))
	}
	return nil
}
