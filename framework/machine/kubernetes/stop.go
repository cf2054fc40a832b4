// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The units of k3s and k0s have KillMode=process: when one stops, its containers and
// their shims go on, so that a restart of the service disturbs no pod. So a service that
// is restarted is only restarted. When a service stops for good (another role, no role,
// a shutdown), its containers are ended here:
//
//	running    systemctl stop       -> left      containers and shims run on
//	left       SIGTERM to the pods  -> ending    up to graceTime
//	ending     cgroup.kill          -> empty     pods, then the shims in the unit's cgroup
//	empty      unmount              -> gone      what containers had mounted
//
// Nothing is deleted: files below a mount that cannot be unmounted are those of pods.
// The network interfaces and packet filter rules of the cluster stay until a reboot.

// A Kernel does what ends containers.
type Kernel interface {
	Terminate(pid int) error // SIGTERM; a process that is gone is no error
	Unmount(path string) error
	Sleep(ctx context.Context, d time.Duration)
}

// Linux is the running kernel.
type Linux struct{}

// Terminate sends SIGTERM.
func (Linux) Terminate(pid int) error {
	if err := unix.Kill(pid, unix.SIGTERM); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// Unmount unmounts a path; one that is in use is detached.
func (Linux) Unmount(path string) error {
	err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(path, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	return err
}

// Sleep waits for d, or until ctx ends.
func (Linux) Sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Times of an end.
const (
	graceTime = 20 * time.Second // for pods after SIGTERM
	killTime  = 5 * time.Second  // for processes after SIGKILL
	pollTime  = 200 * time.Millisecond
)

const cgroups = "/sys/fs/cgroup"

// podGroups are the cgroups of pods: that of the systemd driver, and that of cgroupfs.
var podGroups = []string{cgroups + "/kubepods.slice", cgroups + "/kubepods"}

// Stop ends the containers that a stopped service has left. It does nothing while the
// service runs.
func (m *Machine) Stop(ctx context.Context) error {
	s, err := m.started()
	if err != nil || s.Unit == "" || m.runs(ctx, s.Unit) {
		return err
	}
	return m.end(ctx, s)
}

// leave stops a service for good.
func (m *Machine) leave(ctx context.Context, s started) error {
	if m.Root.Dry != nil {
		return nil
	}
	err := m.run(ctx, "systemctl", "stop", "--", s.Unit)
	if err == nil {
		err = m.end(ctx, s)
	}
	if err == nil {
		_, err = m.Root.Remove(stateFile)
	}
	return err
}

// end ends the processes in the cgroups of pods and of the unit, and unmounts what they
// had mounted.
func (m *Machine) end(ctx context.Context, s started) error {
	var errs []error
	for _, pid := range m.processes(podGroups) {
		errs = append(errs, m.Kernel.Terminate(pid))
	}
	m.empty(ctx, podGroups, graceTime)
	all := append(slices.Clone(podGroups), cgroups+"/system.slice/"+s.Unit)
	for _, group := range all {
		if m.Root.Exists(group) && m.populated(group) {
			errs = append(errs, m.Root.WriteInPlace(group+"/cgroup.kill", []byte("1")))
		}
	}
	if !m.empty(ctx, all, killTime) {
		errs = append(errs, fmt.Errorf("processes of containers are still there %v after they were killed; restart the node", killTime))
	}
	errs = append(errs, m.unmount(s))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("ending the containers of %s: %w", s.Unit, err)
	}
	return nil
}

// empty waits until no process is in the cgroups.
func (m *Machine) empty(ctx context.Context, groups []string, limit time.Duration) bool {
	for waited := time.Duration(0); slices.ContainsFunc(groups, m.populated); waited += pollTime {
		if waited >= limit || ctx.Err() != nil {
			return false
		}
		m.Kernel.Sleep(ctx, pollTime)
	}
	return true
}

// populated tells whether a process is in a cgroup or below it, see cgroups(7).
func (m *Machine) populated(group string) bool {
	data, err := m.Root.Read(group + "/cgroup.events")
	return err == nil && slices.Contains(strings.Split(string(data), "\n"), "populated 1")
}

// processes are those in cgroups and below them.
func (m *Machine) processes(groups []string) (pids []int) {
	for _, group := range groups {
		data, err := m.Root.Read(group + "/cgroup.procs")
		if err != nil {
			continue // the cgroup is gone, and so are its processes
		}
		for word := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
				pids = append(pids, pid)
			}
		}
		entries, _ := m.Root.List(group)
		for _, e := range entries {
			if e.IsDir() {
				pids = append(pids, m.processes([]string{path.Join(group, e.Name())})...)
			}
		}
	}
	return pids
}

// unmount unmounts what containers had mounted, the last mount first.
func (m *Machine) unmount(s started) error {
	table, err := m.Root.Read("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	points := mountPoints(string(table))
	slices.Reverse(points)
	var errs []error
	for _, point := range points {
		if ofContainers(point, s.Data) {
			if err := m.Kernel.Unmount(point); err != nil {
				errs = append(errs, fmt.Errorf("unmounting %s: %w", point, err))
			}
		}
	}
	return errors.Join(errs...)
}

// mountPoints are those of a table as in proc_pid_mountinfo(5).
func mountPoints(table string) (points []string) {
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4]))
		}
	}
	return points
}

// ofContainers tells whether the kubelet or a runtime of a service with this data
// directory has mounted a path.
func ofContainers(point, data string) bool {
	return slices.ContainsFunc([]string{
		"/run/k3s/", "/run/k0s/", "/run/netns/cni-", "/var/lib/kubelet/pods/", "/var/lib/kubelet/plugins/", data + "/kubelet/pods/", data + "/kubelet/plugins/",
	}, func(prefix string) bool { return strings.HasPrefix(point, prefix) })
}
