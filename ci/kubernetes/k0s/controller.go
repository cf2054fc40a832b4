// SPDX-License-Identifier: Apache-2.0

package k0s

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/cluster"
	"github.com/kairos-build/kairos-build/ci/kubernetes/host"
	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

const (
	etcdClients = "http://127.0.0.1:2379"
)

// A controller is `k0s controller`.
type controller struct {
	Program
	*flags
	config  *Config
	options cluster.Options
}

func (p Program) controller(ctx context.Context, f *flags) error {
	c, err := p.newController(f)
	if err != nil {
		return err
	}
	c.warnUsers()
	if err := p.Bundle.Stage(filepath.Join(f.dataDir, "bin")); err != nil {
		return err
	}
	if err := c.options.Certificates(); err != nil {
		return err
	}
	if err := c.linkAuthority(); err != nil {
		return err
	}
	if err := serveStatus(ctx, f.statusSocket(), c.current); err != nil {
		return err
	}
	return c.serve(ctx)
}

func (p Program) newController(f *flags) (*controller, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.single && f.tokenFile != "" {
		return nil, errors.New("--single cannot be used together with join tokens")
	}
	if f.tokenFile != "" || len(f.rest) > 0 || os.Getenv("K0S_TOKEN") != "" {
		return nil, errors.New("this stand-in for k0s has one controller: it does not join another one")
	}
	config, err := readConfig(f.config)
	if err != nil {
		return nil, err
	}
	c := &controller{Program: p, flags: f, config: config}
	c.options, err = c.newOptions()
	return c, err
}

func (c *controller) newOptions() (cluster.Options, error) {
	name, err := host.Name()
	if err != nil {
		return cluster.Options{}, err
	}
	address := c.config.Spec.API.Address
	if address == "" {
		if address, err = host.Address(); err != nil {
			return cluster.Options{}, err
		}
	}
	spec, data := c.config.Spec, c.dataDir
	return cluster.Options{
		TLS: filepath.Join(data, "pki"), Agent: data, Programs: filepath.Join(data, "bin"), Run: c.runDir,
		Kubelet: filepath.Join(data, "kubelet"), Runtime: filepath.Join(data, "containerd"),
		CNI: "/opt/cni/bin", CNIConfig: c.network(), Static: filepath.Join(data, "static-pods"),
		Admin: filepath.Join(data, "pki", "admin.conf"), AdminMode: 0o600,
		Node: name, IP: address, Bind: "0.0.0.0", Port: spec.API.Port, Front: spec.API.Port,
		Pods: spec.Network.PodCIDR, Services: spec.Network.ServiceCIDR, NodePorts: "30000-32767",
		DNS: cluster.DNS(spec.Network.ServiceCIDR), Domain: spec.Network.ClusterDomain,
		Pause: c.config.pause(), Names: append(spec.API.SANs, spec.API.ExternalAddress), Datastore: c.datastoreURL(),
		Labels: c.labels, Taints: c.nodeTaints(), Version: c.Bundle.Version, Etcd: c.Bundle.Etcd, Extra: c.extra(),
	}, nil
}

// network is where the stand-in for kube-router puts its configuration. With the
// provider "custom" the user brings it.
func (c *controller) network() string {
	if c.config.Spec.Network.Provider == "custom" || c.disabled("network-provider") {
		return ""
	}
	return "/etc/cni/net.d"
}

func (c *controller) nodeTaints() []string {
	if c.single || c.noTaints {
		return c.taints
	}
	return append(c.taints, "node-role.kubernetes.io/control-plane=:NoSchedule")
}

func (c *controller) extra() map[string][]string {
	extra := map[string][]string{"kubelet": strings.Fields(c.kubeletArgs), "kube-controller-manager": strings.Fields(c.managerArgs)}
	for name, text := range c.config.Spec.API.ExtraArgs {
		extra["kube-apiserver"] = append(extra["kube-apiserver"], name+"="+text)
	}
	return extra
}

// warnUsers says which programs run as root because k0s' users are missing.
func (c *controller) warnUsers() {
	for _, name := range []string{"etcd", "kube-apiserver", "kube-scheduler", "konnectivity-server"} {
		if _, err := user.Lookup(name); err != nil {
			fmt.Fprintf(c.Err, "level=warning msg=\"running as root: %v\"\n", err)
		}
	}
}

func (c *controller) current() Status {
	return Status{
		Version: c.Bundle.Version, Pid: os.Getpid(), PPid: os.Getppid(), Role: "controller",
		Workloads: c.workloads(), SingleNode: c.single, Args: append([]string{c.Executable}, c.Args...),
		WorkerToAPIConnectionStatus: c.probe(), ClusterConfig: c.config, K0sVars: map[string]string{"DataDir": c.dataDir},
	}
}

func (c *controller) probe() Probe {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.options.APIServer().Ready(ctx); err != nil {
		return Probe{Message: err.Error()}
	}
	return Probe{Success: true}
}

// serve starts the programs one after the other. k0s tells systemd nothing, and starts
// a program that ends again.
func (c *controller) serve(ctx context.Context) error {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	group := &process.Group{Output: c.Err, PIDs: c.runDir, Respawn: true}
	defer group.Stop()
	defer cancel()
	for _, start := range []func(context.Context, *process.Group) error{c.controlPlane, c.node, c.rest} {
		if err := start(running, group); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	go c.deploy(running)
	return group.Wait(running)
}

func (c *controller) controlPlane(ctx context.Context, group *process.Group) error {
	if err := group.Start(ctx, c.datastore()); err != nil {
		return err
	}
	return group.Start(ctx, c.options.APIServer())
}

func (c *controller) rest(ctx context.Context, group *process.Group) error {
	programs := []struct {
		name    string
		program process.Program
		skip    bool
	}{
		{"kube-controller-manager", c.options.ControllerManager(), false},
		{"kube-scheduler", c.options.Scheduler(), false},
		{"kube-proxy", c.options.Proxy(), !c.workloads()},
	}
	for _, p := range programs {
		if p.skip || c.disabled(p.name) {
			continue
		}
		if err := group.Start(ctx, p.program); err != nil {
			return err
		}
	}
	return nil
}

// kine says whether the datastore is SQLite.
func (c *controller) kine() bool { return c.single || c.config.Spec.Storage.Type == "kine" }

func (c *controller) datastoreURL() string {
	if c.kine() {
		return "unix://" + filepath.Join(c.runDir, "kine", "kine.sock")
	}
	return etcdClients
}

func (c *controller) datastore() process.Program {
	bin := filepath.Join(c.dataDir, "bin")
	if c.kine() {
		socket := filepath.Join(c.runDir, "kine", "kine.sock")
		return process.Program{
			Name: "kine", Path: filepath.Join(bin, "kine"), Ready: process.Socket("unix", socket),
			Args: []string{"--listen=unix://" + socket, "--file=" + filepath.Join(c.dataDir, "db", "state.db")},
		}
	}
	return process.Program{
		Name: "etcd", Path: filepath.Join(bin, "etcd"), Env: []string{cluster.EtcdVariable + "=" + c.Bundle.Etcd},
		Ready: process.Answers(&http.Client{Timeout: time.Minute}, "http://127.0.0.1:2381/health"),
		Args: []string{
			"--name=" + c.options.Node, "--data-dir=" + filepath.Join(c.dataDir, "etcd"),
			"--listen-client-urls=" + etcdClients, "--advertise-client-urls=" + etcdClients,
			"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=" + c.options.Node + "=http://127.0.0.1:2380", "--listen-metrics-urls=http://127.0.0.1:2381",
		},
	}
}

// linkAuthority gives the authority of the API server the names that k0s has for it.
func (c *controller) linkAuthority() error {
	for _, ext := range []string{".crt", ".key"} {
		if err := relink("server-ca"+ext, filepath.Join(c.options.TLS, "ca"+ext)); err != nil {
			return err
		}
	}
	return nil
}
