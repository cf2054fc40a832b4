// SPDX-License-Identifier: Apache-2.0

// Package kubernetes tests a node that runs the k3s or k0s of its image: it becomes Ready,
// runs what its config says, restarts it when that changes, and stops it without a trace.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
)

// Applies tells whether the image on the lab's disk has Kubernetes.
func Applies(l *lab.Lab) bool { return l.Cluster.Version.Distribution() != "" }

// memoryMiB is what a node with all of Kubernetes needs, and some space.
const memoryMiB = 3072

// A story is the machine and its distribution.
type story struct {
	*lab.Machine
	distribution
	pid      string // of the service
	registry *lab.Registry
}

// Tell runs all chapters.
func Tell(ctx context.Context, m *lab.Machine) { tell(ctx, m, false) }

// TellShort leaves out the chapters with a reboot and with pods.
func TellShort(ctx context.Context, m *lab.Machine) { tell(ctx, m, true) }

func tell(ctx context.Context, m *lab.Machine, short bool) {
	image := m.Lab.Cluster
	t := &story{Machine: m, distribution: distributions()[image.Version.Distribution()]}
	chapters := []lab.Chapter{
		{Name: "ready", Title: "comes up, and the node of the cluster is Ready in this boot, with " + image.Version.String(), Do: t.begin},
		{Name: "files", Title: "the config became files that only root reads where they hold secrets", Do: t.files},
		{Name: "manifest", Title: "an object of the config is in the cluster", Do: t.object},
		{Name: "unchanged", Title: "an unchanged config restarts nothing", Do: t.unchanged},
		{Name: "changed", Title: "a changed config restarts it", Do: t.changed},
		{Name: "unknown", Title: "an argument that this version does not take is refused, and nothing restarts", Do: t.unknown},
	}
	if !short {
		chapters = append(chapters,
			lab.Chapter{Name: "crash", Title: "a service that ends starts again, beside a config that nobody can read", Do: t.crash},
			lab.Chapter{Name: "pod", Title: "a pod answers over the network", Do: t.pod},
			lab.Chapter{Name: "reboot", Title: "after a reboot the node is Ready again, with what the cluster held", Do: t.reboot},
		)
	}
	m.Tell(ctx, false, append(chapters, lab.Chapter{Name: "stopped", Title: "a role that is disabled leaves no process behind", Do: t.stopped}))
}

// configName is the file of /oem with the role.
const configName = "60_kubernetes.yaml"

func (t *story) begin(ctx context.Context) (string, error) {
	oem, err := t.Lab.OEM(map[string][]byte{configName: t.config()})
	if err != nil {
		return "", err
	}
	t.Setup = lab.Setup{OEM: &oem, MemoryMiB: memoryMiB}
	if err := t.Start(ctx); err != nil {
		return "", err
	}
	if err := t.ready(ctx); err != nil {
		return "", err
	}
	up, err := t.Guest.Output(ctx, "cut", "-d", " ", "-f", "1", "/proc/uptime")
	if err != nil {
		return "", err
	}
	memory, err := t.Guest.Output(ctx, "awk", `/^MemTotal|^MemAvailable/ { total = $2 - total } END { printf "%d", -total / 1024 }`, "/proc/meminfo")
	return fmt.Sprintf("Ready %s s after the start of the kernel, %s MiB of memory in use", strings.TrimSpace(up), memory), err
}

// The node is asked every readyPause whether it is Ready, for readyLimit: in emulation k0s with
// etcd needed 10 minutes on a busy host.
const (
	readyPause = 20 * time.Second
	readyLimit = 30 * time.Minute
)

// ready waits until the node's own health check says that the node is Ready.
func (t *story) ready(ctx context.Context) error {
	return lab.Seldom(ctx, readyLimit, readyPause, func(ctx context.Context) error {
		_, err := t.Guest.Output(ctx, "kairos-agent", "health")
		return err
	})
}

// files checks the mode and owner of the files that may hold secrets.
func (t *story) files(ctx context.Context) (string, error) {
	var all error
	for _, name := range t.secrets {
		all = errors.Join(all, t.Guest.Says(ctx, "^600 root$", "stat", "-c", "%a %U", name))
	}
	return fmt.Sprintf("%d files", len(t.secrets)), all
}

// object reads the object of the config from the cluster.
func (t *story) object(ctx context.Context) (string, error) {
	return "", lab.Until(ctx, func(ctx context.Context) error {
		return t.Guest.Says(ctx, objectWords, t.program, "kubectl", "get", "--raw", objectPath)
	})
}

// apply writes the config of the role and lets the agent carry it out.
func (t *story) apply(ctx context.Context, config []byte) error {
	if err := t.PutFile(ctx, "/oem/"+configName, string(config)); err != nil {
		return err
	}
	_, err := t.Guest.Output(ctx, "systemctl", "restart", "kairos-kubernetes.service")
	return err
}

// process is the main process of the service; "0" if it does not run. It waits until
// systemd has nothing left to do with the service: a restart that is only asked for has
// the old process.
func (t *story) process(ctx context.Context) (string, error) {
	if err := lab.Until(ctx, func(ctx context.Context) error {
		job, err := t.Guest.Output(ctx, "systemctl", "show", "-p", "Job", "--value", t.unit)
		if job = strings.TrimSpace(job); err == nil && job != "" && job != "0" {
			err = fmt.Errorf("%s has the job %s", t.unit, job)
		}
		return err
	}); err != nil {
		return "", err
	}
	pid, err := t.Guest.Output(ctx, "systemctl", "show", "-p", "MainPID", "--value", t.unit)
	return strings.TrimSpace(pid), err
}

func (t *story) unchanged(ctx context.Context) (string, error) {
	before, err := t.process(ctx)
	if err != nil {
		return "", err
	}
	if err := t.apply(ctx, t.config()); err != nil {
		return "", err
	}
	t.pid, err = t.process(ctx)
	if err == nil && (t.pid != before || before == "0") {
		err = fmt.Errorf("the main process of %s was %s and is %s", t.unit, before, t.pid)
	}
	return "process " + before, err
}

func (t *story) changed(ctx context.Context) (string, error) {
	if err := t.apply(ctx, t.config(t.more)); err != nil {
		return "", err
	}
	if err := t.restarted(ctx); err != nil {
		return "", err
	}
	return "", t.ready(ctx)
}

// unknown has a mistyped argument. k3s would skip it in its file with a warning.
func (t *story) unknown(ctx context.Context) (_ string, err error) {
	if t.pid, err = t.process(ctx); err != nil {
		return "", err
	}
	if err := t.PutFile(ctx, "/tmp/site.yaml", string(t.config("--node-lable=x=y"))); err != nil {
		return "", err
	}
	if err := t.Guest.Refuses(ctx, "--node-lable", "kairos-agent", "validate", "/tmp/site.yaml"); err != nil {
		return "", err
	}
	if err := t.apply(ctx, t.config(t.more, "--node-lable=x=y")); err == nil {
		return "", errors.New("kairos-kubernetes.service took an argument that the program does not take")
	}
	now, err := t.process(ctx)
	if err == nil && now != t.pid {
		err = fmt.Errorf("the main process of %s was %s and is %s", t.unit, t.pid, now)
	}
	return "", errors.Join(err, t.Guest.Says(ctx, "--node-lable", "kairos-agent", "report"), t.apply(ctx, t.config(t.more)))
}

// crash ends the service while a file of the config is broken. It goes on with what was
// applied before; the node's health check complains until the file is gone.
func (t *story) crash(ctx context.Context) (_ string, err error) {
	const broken = "/oem/61_broken.yaml"
	if t.pid, err = t.process(ctx); err != nil {
		return "", err
	}
	if err := t.PutFile(ctx, broken, "#cloud-config\n"+t.key+": [\n"); err != nil {
		return "", err
	}
	if err := t.Guest.Refuses(ctx, broken, "kairos-agent", "validate"); err != nil {
		return "", err
	}
	if _, err := t.Guest.Output(ctx, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", t.unit); err != nil {
		return "", err
	}
	if err := t.restarted(ctx); err != nil {
		return "", err
	}
	if _, err := t.Guest.Output(ctx, "rm", broken); err != nil {
		return "", err
	}
	if err := t.apply(ctx, t.config(t.more)); err != nil {
		return "", err
	}
	return "", t.ready(ctx)
}

// restarted waits until the service has another main process than t.pid.
func (t *story) restarted(ctx context.Context) error {
	return lab.Until(ctx, func(ctx context.Context) error {
		now, err := t.process(ctx)
		if err == nil && (now == t.pid || now == "0") {
			err = fmt.Errorf("the main process of %s was %s and is %s", t.unit, t.pid, now)
		}
		return err
	})
}

// pod lets the API server ask the pod: that is the network from the node to the pod. The
// images of a publisher, CoreDNS among them, have no image for tests: it is left out.
func (t *story) pod(ctx context.Context) (string, error) {
	images, err := lab.WaitOutput(ctx, t.Guest, t.program, "ctr", "--namespace", "k8s.io", "images", "list", "--quiet")
	if err != nil {
		return "", err
	}
	if !strings.Contains(images, server) && strings.Contains(images, "coredns") {
		return "left out: the images of this release have no " + server, nil
	}
	return "", lab.Until(ctx, func(ctx context.Context) error {
		return t.Guest.Says(ctx, "^kairos: pod", t.program, "kubectl", "get", "--raw", podPath)
	})
}

func (t *story) reboot(ctx context.Context) (string, error) {
	if err := t.Reboot(ctx); err != nil {
		return "", err
	}
	if err := t.ready(ctx); err != nil {
		return "", err
	}
	return t.object(ctx)
}

// stopped disables the role: the service stops, and so do the containers, which the unit
// alone would leave running.
func (t *story) stopped(ctx context.Context) (string, error) {
	if err := t.apply(ctx, []byte("#cloud-config\n"+t.key+":\n  enabled: false\n")); err != nil {
		return "", err
	}
	now, err := t.process(ctx)
	if err == nil && now != "0" {
		err = fmt.Errorf("%s still has the process %s", t.unit, now)
	}
	if err != nil {
		return "", err
	}
	// pgrep exits with 1 if it finds nothing.
	left, err := t.Guest.RunInput(ctx, "", "pgrep", "--list-full", "--full", "[c]ontainerd|[/]"+t.data[1:]) // not the line itself
	if err == nil && left.Exit != 1 {
		err = fmt.Errorf("these processes are left: %s", lab.FirstOf(left.Stdout, left.Stderr))
	}
	return "", err
}
