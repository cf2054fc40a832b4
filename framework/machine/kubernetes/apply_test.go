// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// A host is a machine whose systemd and kernel are imitations.
type host struct {
	*Machine
	t       *testing.T
	active  map[string]bool // units
	did     []string        // what systemd and the kernel were asked for
	refuses string          // a word of a command that fails
	stays   bool            // killed processes stay
	slept   time.Duration
	mounts  []func() // what comes before a service starts
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, active: map[string]bool{}}
	h.Machine = &Machine{Root: tree.Root{Dir: t.TempDir(), KeepOwner: true}, System: h, Kernel: h}
	h.put("proc/self/mountinfo", "")
	return h
}

func (h *host) put(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.Root.Dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		h.t.Fatal(err)
	}
}

// Run imitates systemctl.
func (h *host) Run(_ context.Context, words ...string) (string, error) {
	unit := words[len(words)-1]
	if words[1] == "is-active" {
		if h.active[unit] {
			return "active\n", nil
		}
		return "inactive\n", errors.New("exit status 3")
	}
	h.did = append(h.did, strings.Join(words[1:], " "))
	if h.refuses != "" && slices.Contains(words, h.refuses) {
		return "no\n", errors.New("exit status 1")
	}
	h.active[unit] = slices.Contains(words, "start") || slices.Contains(words, "restart")
	if h.active[unit] { // ExecStartPre=
		for _, mount := range h.mounts {
			mount()
		}
		if _, err := h.Files(); err != nil {
			h.t.Error(err)
		}
	}
	return "", nil
}

func (h *host) Terminate(pid int) error {
	h.did = append(h.did, fmt.Sprintf("terminate %d", pid))
	return nil
}

func (h *host) Unmount(path string) error {
	h.did = append(h.did, "unmount "+path)
	return nil
}

// Sleep lets the processes in killed cgroups end.
func (h *host) Sleep(_ context.Context, d time.Duration) {
	h.slept += d
	if h.stays {
		return
	}
	for _, group := range append(slices.Clone(podGroups), cgroups+"/system.slice/k3s.service") {
		if data, err := h.Root.Read(group + "/cgroup.kill"); err == nil && string(data) == "1" {
			h.put(group+"/cgroup.events", "populated 0\nfrozen 0\n")
		}
	}
}

// apply applies a config, and returns what was asked for and the items that are not
// unchanged.
func (h *host) apply(config, version, list string) (did, items []string) {
	h.t.Helper()
	h.did = nil
	for _, i := range h.Machine.Run(h.t.Context(), decode(h.t, config), nil, imageOf(h.t, version, list)) {
		if i.Outcome != report.Unchanged {
			items = append(items, i.String())
		}
	}
	return h.did, items
}

// same compares what was done.
func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

const simple = "k3s: {enabled: true, args: [--cluster-init], manifests: {a: '{apiVersion: v1, kind: A}'}}\n"

// TestApply: the service starts once, and restarts only when its files changed.
func TestApply(t *testing.T) {
	h := newHost(t)
	did, items := h.apply(simple, k3sVersion, k3sList)
	same(t, "the first run", did, "daemon-reload", "--no-block start -- k3s.service")
	same(t, "the first run", items,
		"site.yaml:1:16: file /etc/rancher/k3s/config.yaml.d/90-kairos.yaml: changed",
		"site.yaml:1:16: file /run/kairos/kubernetes/member.json: changed",
		"site.yaml:1:16: file /run/systemd/system/k3s.service.d/50-kairos.conf: changed",
		"site.yaml:1:16: file /run/systemd/system/kairos-kubernetes-datastore.service.d/50-kairos.conf: changed",
		"site.yaml:1:16: systemctl start k3s.service: asked")
	did, items = h.apply(simple, k3sVersion, k3sList)
	same(t, "the second run", append(did, items...))

	did, items = h.apply(strings.Replace(simple, "kind: A", "kind: B", 1), k3sVersion, k3sList)
	same(t, "another manifest", did)
	same(t, "another manifest", items, "site.yaml:1:16: file /var/lib/rancher/k3s/server/manifests/kairos/a.yaml: changed")
	did, _ = h.apply(strings.Replace(simple, "--cluster-init", "--disable=traefik", 1), k3sVersion, k3sList)
	same(t, "another argument", did, "--no-block restart -- k3s.service")
	did, _ = h.apply("k3s: {enabled: true, args: [--disable=traefik], env: {A: b}}\n", k3sVersion, k3sList)
	same(t, "a variable", did, "--no-block restart -- k3s.service")
	if h.Root.Exists("/var/lib/rancher/k3s/server/manifests/kairos/a.yaml") {
		t.Error("the manifest that left the config is still there")
	}
	h.put("etc/rancher/k3s/registries.yaml", "mirrors: {}\n")
	did, _ = h.apply("k3s: {enabled: true, args: [--disable=traefik], env: {A: b}}\n", k3sVersion, k3sList)
	same(t, "a file of the user", did, "--no-block restart -- k3s.service")
	h.active["k3s.service"] = false
	did, _ = h.apply("k3s: {enabled: true, args: [--disable=traefik], env: {A: b}}\n", k3sVersion, k3sList)
	same(t, "a service that was stopped", did, "--no-block start -- k3s.service")
}

// TestModes: files with secrets are for root only.
func TestModes(t *testing.T) {
	h := newHost(t)
	h.apply("k3s: {enabled: true, args: [--token=geheim], env: {A: b}, registries: {configs: {r: {auth: {auth: geheim}}}}, manifests: {a: '{apiVersion: v1, kind: A}'}}\n", k3sVersion, k3sList)
	for _, name := range []string{k3sArguments, k3sRegistries, envFile, stateFile, "/var/lib/rancher/k3s/server/manifests/kairos/a.yaml"} {
		info, err := h.Root.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	for _, name := range []string{runDir, "/var/lib/rancher/k3s/server"} {
		if info, err := h.Root.Stat(name); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// TestSecretArguments: whatever way a secret is written, its file is for root only.
func TestSecretArguments(t *testing.T) {
	for _, c := range []struct {
		args, list string
		want       os.FileMode
	}{
		{"'--token=geheim'", k3sList, 0o600},
		{"-t, geheim", "", 0o600},
		{"'-t geheim'", "", 0o600},
		{"--agent-token, geheim", "", 0o600},
		{"--etcd-s3-session-token=geheim", "", 0o600},
		{"'--etcd-s3-proxy=http://a:geheim@b'", "", 0o600},
		{"--disable=traefik", "", 0o644},
		{"--etcd-s3-region=a", "", 0o644},
	} {
		h := newHost(t)
		h.apply("k3s: {enabled: true, args: ["+c.args+"]}\n", k3sVersion, c.list)
		if info, err := h.Root.Stat(k3sArguments); err != nil || info.Mode().Perm() != c.want {
			t.Errorf("%s: %v, %v", c.args, info, err)
		}
	}
}

// TestRefused: with an error in the config, nothing changes, and a running service runs
// on.
func TestRefused(t *testing.T) {
	h := newHost(t)
	h.apply(simple, k3sVersion, k3sList)
	did, items := h.apply("k3s: {enabled: true, args: [--cluster-int]}\n", k3sVersion, k3sList)
	same(t, "asked", did)
	same(t, "items", items, "site.yaml:1:29: kubernetes k3s: failed: k3s.args[0]: k3s server v1.34.1+k3s1 takes no argument --cluster-int; did you mean --cluster-init?")
	if !h.Root.Exists("/var/lib/rancher/k3s/server/manifests/kairos/a.yaml") || !h.active["k3s.service"] {
		t.Error("the node changed")
	}
	did, items = h.apply(simple, "", "")
	same(t, "asked of an image without Kubernetes", did)
	if len(items) != 1 || !strings.Contains(items[0], "this image has no Kubernetes") {
		t.Errorf("got %q", items)
	}
}

// TestForeignKeys: unknown keys in other config files of k3s are found; k3s skips them.
func TestForeignKeys(t *testing.T) {
	h := newHost(t)
	h.put("etc/rancher/k3s/config.yaml", "# mine\ndisable+: [traefik]\ncluster-int: true\n")
	h.put("etc/rancher/k3s/config.yaml.d/10.yaml", "- a\n")
	h.put("etc/rancher/k3s/config.yaml.d/20.yaml", "# nothing\n")
	did, items := h.apply(simple, k3sVersion, k3sList)
	same(t, "asked", did)
	same(t, "items", items,
		"/etc/rancher/k3s/config.yaml:3:1: kubernetes k3s: failed: k3s: k3s server v1.34.1+k3s1 takes no argument --cluster-int, and would skip it; did you mean --cluster-init?",
		"/etc/rancher/k3s/config.yaml.d/10.yaml:1:1: kubernetes k3s: failed: k3s: a config file of k3s is not YAML: it has no keys")
}

// TestForeignPlaces: where the data are is only for the config to say, also if the image has
// no list of arguments.
func TestForeignPlaces(t *testing.T) {
	for _, list := range []string{k3sList, ""} {
		h := newHost(t)
		h.put("etc/rancher/k3s/config.yaml", "disable: [traefik]\ndata-dir: /srv\n")
		h.put("etc/rancher/k3s/config.yaml.d/10.YML", "datastore-endpoint: mysql://a\n")
		h.put("etc/rancher/k3s/config.yaml.d/20.txt", "data-dir: /srv\n")
		did, items := h.apply(simple, k3sVersion, list)
		same(t, "asked", did)
		same(t, "items", items,
			"/etc/rancher/k3s/config.yaml:2:1: kubernetes k3s: failed: k3s: --data-dir must not be in this file: the node would copy another datastore, or none; give it in k3s.args",
			"/etc/rancher/k3s/config.yaml.d/10.YML:1:1: kubernetes k3s: failed: k3s: --datastore-endpoint must not be in this file: the node would copy another datastore, or none; give it in k3s.args")
	}
}

// TestForeignEndings: k3s reads .yml, too, whatever the case.
func TestForeignEndings(t *testing.T) {
	for _, name := range []string{"10.yml", "10.YAML"} {
		h := newHost(t)
		h.put("etc/rancher/k3s/config.yaml.d/"+name, "cluster-int: true\n")
		_, items := h.apply(simple, k3sVersion, k3sList)
		same(t, name, items, "/etc/rancher/k3s/config.yaml.d/"+name+":1:1: kubernetes k3s: failed: k3s: k3s server v1.34.1+k3s1 takes no argument --cluster-int, and would skip it; did you mean --cluster-init?")
	}
}

// crowd puts processes into the cgroups of pods and of k3s, and their mounts.
func (h *host) crowd() {
	for _, group := range []string{"kubepods.slice", "system.slice/k3s.service"} {
		h.put("sys/fs/cgroup/"+group+"/cgroup.kill", "")
		h.put("sys/fs/cgroup/"+group+"/cgroup.events", "populated 1\nfrozen 0\n")
	}
	h.put("sys/fs/cgroup/kubepods.slice/cgroup.procs", "")
	h.put("sys/fs/cgroup/kubepods.slice/pod1/cgroup.procs", "101\n102\n")
	h.put("sys/fs/cgroup/system.slice/k3s.service/cgroup.procs", "200\n")
	h.put("proc/self/mountinfo", `1 0 8:1 / / rw - erofs /dev/dm-0 ro
2 1 8:2 / /var/lib/rancher rw - ext4 /dev/vda9 rw
3 1 0:3 / /var/lib/kubelet/pods/1/volumes/a\040b rw - tmpfs tmpfs rw
4 1 0:4 / /run/k3s/containerd/1/rootfs rw - overlay overlay rw
5 1 0:5 / /run/netns/cni-1 rw - nsfs nsfs rw
6 1 0:6 / /run/netns/other rw - nsfs nsfs rw
`)
}

var ended = []string{"terminate 101", "terminate 102", "unmount /run/netns/cni-1", "unmount /run/k3s/containerd/1/rootfs", "unmount /var/lib/kubelet/pods/1/volumes/a b"}

// TestOtherRole: a service that stops for good leaves no container.
func TestOtherRole(t *testing.T) {
	for _, c := range []struct {
		name, config string
		then         []string
	}{
		{"another role", "k3s-agent: {enabled: true, args: [--server=https://a:6443]}\n", []string{"daemon-reload", "--no-block start -- k3s-agent.service"}},
		{"no role", "hostname: a\n", []string{"daemon-reload"}},
		{"another data directory", "k3s: {enabled: true, args: [--cluster-init, --data-dir=/srv/k3s]}\n", []string{"daemon-reload", "--no-block start -- k3s.service"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.apply(simple, k3sVersion, k3sList)
			h.crowd()
			did, items := h.apply(c.config, k3sVersion, k3sList)
			same(t, "asked", did, slices.Concat([]string{"stop -- k3s.service"}, ended, c.then)...)
			for _, i := range items {
				if strings.Contains(i, "failed") {
					t.Error(i)
				}
			}
			if data, _ := h.Root.Read(cgroups + "/system.slice/k3s.service/cgroup.kill"); string(data) != "1" {
				t.Error("the shims live")
			}
			did, items = h.apply(c.config, k3sVersion, k3sList)
			same(t, "the second run", append(did, items...))
		})
	}
}

// TestStop: at a shutdown the containers are ended, but not while the service runs.
func TestStop(t *testing.T) {
	h := newHost(t)
	if err := h.Stop(t.Context()); err != nil || h.did != nil {
		t.Errorf("without a service: %v, %v", err, h.did)
	}
	h.apply(simple, k3sVersion, k3sList)
	h.crowd()
	h.did = nil
	if err := h.Stop(t.Context()); err != nil || h.did != nil {
		t.Errorf("while it runs: %v, %v", err, h.did)
	}
	h.active["k3s.service"] = false
	if err := h.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	same(t, "asked", h.did, ended...)
	if h.slept < graceTime || h.slept > graceTime+time.Second {
		t.Errorf("waited %v", h.slept)
	}
	h.crowd()
	h.stays = true
	const want = "ending the containers of k3s.service: processes of containers are still there 5s after they were killed; restart the node"
	if err := h.Stop(t.Context()); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// TestFailures: a start that systemd refuses is tried again, and so is a stop.
func TestFailures(t *testing.T) {
	h := newHost(t)
	h.refuses = "start"
	_, items := h.apply(simple, k3sVersion, k3sList)
	if last := items[len(items)-1]; !strings.Contains(last, "systemctl start k3s.service: failed: systemctl --no-block start -- k3s.service: exit status 1: no") {
		t.Error(last)
	}
	h.refuses = ""
	did, _ := h.apply(simple, k3sVersion, k3sList)
	same(t, "asked again", did, "--no-block start -- k3s.service")
	h.refuses = "restart"
	h.apply("k3s: {enabled: true}\n", k3sVersion, k3sList)
	h.refuses = ""
	did, _ = h.apply("k3s: {enabled: true}\n", k3sVersion, k3sList)
	same(t, "restart again", did, "--no-block restart -- k3s.service")
	h.refuses = "stop"
	_, items = h.apply("hostname: a\n", k3sVersion, k3sList)
	if !strings.Contains(items[0], "stop k3s.service: failed") {
		t.Errorf("got %q", items)
	}
	h.refuses = ""
	did, _ = h.apply("hostname: a\n", k3sVersion, k3sList)
	same(t, "stop again", did, "stop -- k3s.service")
}

// TestImages: archives are links; one that is missing is reported and stops nothing.
func TestImages(t *testing.T) {
	h := newHost(t)
	h.put("usr/local/images/app.tar", "")
	did, items := h.apply("k3s: {enabled: true, images: [/usr/local/images/app.tar, /usr/local/images/no.tar]}\n", k3sVersion, k3sList)
	same(t, "asked", did, "daemon-reload", "--no-block start -- k3s.service")
	if target, err := h.Root.Readlink("/var/lib/rancher/k3s/agent/images/kairos-0-app.tar"); err != nil || target != "/usr/local/images/app.tar" {
		t.Errorf("%q, %v", target, err)
	}
	if i := slices.IndexFunc(items, func(i string) bool {
		return strings.HasSuffix(i, "kairos-1-no.tar: failed: there is no /usr/local/images/no.tar; make or fetch it in the stage boot or before")
	}); i < 0 {
		t.Errorf("got %q", items)
	}
	h.put("var/lib/rancher/k3s/agent/images/mine.tar", "")
	h.apply("k3s: {enabled: true}\n", k3sVersion, k3sList)
	if _, err := h.Root.Lstat("/var/lib/rancher/k3s/agent/images/kairos-0-app.tar"); err == nil || !h.Root.Exists("/var/lib/rancher/k3s/agent/images/mine.tar") {
		t.Error("the link is still there, or the user's file is not")
	}
}

// TestRegistries: a file of the user with the name of ours is not removed.
func TestRegistries(t *testing.T) {
	h := newHost(t)
	h.put("etc/rancher/k3s/registries.yaml", "mirrors: {}\n")
	h.apply(simple, k3sVersion, k3sList)
	if !h.Root.Exists(k3sRegistries) {
		t.Error("the user's file is gone")
	}
	h.apply("k3s: {enabled: true, embedded_registry: true}\n", k3sVersion, k3sList)
	h.apply(simple, k3sVersion, k3sList)
	if h.Root.Exists(k3sRegistries) {
		t.Error("ours is still there")
	}
}

// TestDry: a dry run asks for nothing and writes nothing.
func TestDry(t *testing.T) {
	h := newHost(t)
	h.Root.Dry = new(tree.DryRun)
	did, items := h.apply(simple, k3sVersion, k3sList)
	same(t, "asked", did)
	if len(items) != 6 || h.Root.Dry.Changes() == nil {
		t.Errorf("got %q", items)
	}
	if entries, err := os.ReadDir(h.Root.Dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestQuoting(t *testing.T) {
	if got, want := commandLine([]string{"/usr/bin/k0s", "a b", `c"d\`, "50%$x", "", ";"}), `/usr/bin/k0s "a b" "c\"d\\" 50%%$$x "" ";"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := envLine("A", "a \"b\" $c `d` \\"), `A="a \"b\" \$c \`+"`d\\`"+` \\"`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
