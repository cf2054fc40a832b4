// SPDX-License-Identifier: Apache-2.0

package k3s

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/kairos-build/kairos-build/ci/kubernetes/cluster"
	"github.com/kairos-build/kairos-build/ci/kubernetes/host"
	"github.com/kairos-build/kairos-build/ci/kubernetes/k3s/arguments"
	"github.com/kairos-build/kairos-build/ci/kubernetes/notify"
	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

const (
	runDir            = "/run/k3s"
	defaultKubeconfig = "/etc/rancher/k3s/k3s.yaml"
	nodePassword      = "/etc/rancher/node/password"
)

// A server is `k3s server`.
type server struct {
	Program
	values  *arguments.Values
	dir     string // its data
	options cluster.Options
}

func (p Program) server(ctx context.Context, values *arguments.Values) error {
	if os.Getuid() != 0 {
		return errors.New("must run as root unless --rootless is specified")
	}
	s := &server{Program: p, values: values, dir: values.String("data-dir")}
	if err := s.settle(); err != nil {
		return err
	}
	if values.Bool("cluster-reset") {
		return s.reset(ctx)
	}
	p.Log.Info("Starting k3s " + p.Release.Version)
	return s.serve(ctx)
}

// settle makes everything that must be there before the first program starts.
func (s *server) settle() error {
	if s.values.Given("server") {
		return errors.New("this stand-in for k3s has one server: --server is not supported")
	}
	if s.values.Given("datastore-endpoint") {
		return errors.New("this stand-in for k3s has SQLite and embedded etcd: --datastore-endpoint is not supported")
	}
	options, err := s.newOptions()
	if err != nil {
		return err
	}
	s.options = options
	if err := ensurePassword(nodePassword); err != nil {
		return err
	}
	if err := options.Certificates(); err != nil {
		return err
	}
	return s.ensureToken()
}

func (s *server) newOptions() (cluster.Options, error) {
	name, err := nodeName(s.values)
	if err != nil {
		return cluster.Options{}, err
	}
	address, err := nodeAddress(s.values)
	if err != nil {
		return cluster.Options{}, err
	}
	mode, err := strconv.ParseUint(or(s.values.String("write-kubeconfig-mode"), "600"), 8, 32)
	if err != nil {
		return cluster.Options{}, fmt.Errorf("--write-kubeconfig-mode: %w", err)
	}
	port, err := strconv.Atoi(s.values.String("https-listen-port"))
	if err != nil {
		return cluster.Options{}, err
	}
	options := nodeOptions(s.Program, s.values, s.dir, name, address)
	options.TLS = filepath.Join(s.dir, "server", "tls")
	options.Admin = or(s.values.String("write-kubeconfig"), defaultKubeconfig)
	options.AdminMode = uint32(mode)
	options.Bind = or(s.values.String("bind-address"), "0.0.0.0")
	options.Front, options.Port = port, port+1
	options.Pods = s.values.List("cluster-cidr")[0]
	options.Services = s.values.List("service-cidr")[0]
	options.NodePorts = s.values.String("service-node-port-range")
	options.DNS = s.values.List("cluster-dns")[0]
	options.Domain = s.values.String("cluster-domain")
	options.Names = s.values.List("tls-san")
	options.Datastore = s.datastoreURL()
	return options, nil
}

// nodeOptions are those that a server and an agent have.
func nodeOptions(p Program, values *arguments.Values, dir, name, address string) cluster.Options {
	agent := filepath.Join(dir, "agent")
	options := cluster.Options{
		Agent: agent, Programs: filepath.Join(p.Folder, "bin"), Run: runDir,
		Kubelet: "/var/lib/kubelet", Runtime: filepath.Join(agent, "containerd"),
		CNI: filepath.Join(dir, "data", "cni"), CNIConfig: filepath.Join(agent, "etc", "cni", "net.d"),
		Static: filepath.Join(agent, "pod-manifests"), ConfigDirs: filepath.Join(agent, "etc", "kubelet.conf.d"),
		Node: name, IP: address, Pause: values.String("pause-image"), Resolv: values.String("resolv-conf"),
		Labels: values.List("node-label"), Taints: values.List("node-taint"),
		Version: p.Release.Version, Etcd: p.Release.Etcd,
		Extra: map[string][]string{
			"etcd":                    values.Repeated("etcd-arg"),
			"kube-apiserver":          values.Repeated("kube-apiserver-arg"),
			"kube-controller-manager": values.Repeated("kube-controller-manager-arg"),
			"kube-proxy":              values.Repeated("kube-proxy-arg"),
			"kube-scheduler":          values.Repeated("kube-scheduler-arg"),
			"kubelet":                 values.Repeated("kubelet-arg"),
		},
	}
	if values.String("flannel-backend") == "none" {
		options.CNIConfig = "" // the user brings a network
	}
	return options
}

// serve starts the programs one after the other and tells systemd when the API server
// and the kubelet answer. A program that ends, ends the service.
func (s *server) serve(ctx context.Context) error {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	group := &process.Group{Output: s.Err}
	defer group.Stop()
	defer cancel()
	if err := s.controlPlane(running, group); err != nil {
		return quiet(ctx, err)
	}
	if err := s.node(running, group); err != nil {
		return quiet(ctx, err)
	}
	if err := notify.Send("READY=1"); err != nil {
		return err
	}
	s.Log.Info("k3s is up and running")
	if err := s.rest(running, group); err != nil {
		return quiet(ctx, err)
	}
	go s.deploy(running)
	return group.Wait(running)
}

// quiet: the end of a service that was told to end is no error.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *server) controlPlane(ctx context.Context, group *process.Group) error {
	if err := s.startDatastore(ctx, group); err != nil {
		return err
	}
	if err := group.Start(ctx, s.options.APIServer()); err != nil {
		return err
	}
	return s.supervise(ctx)
}

func (s *server) node(ctx context.Context, group *process.Group) error {
	if s.values.Bool("disable-agent") {
		return nil
	}
	return startNode(ctx, group, s.options, filepath.Join(s.dir, "agent", "images"), s.Err)
}

// rest is what a node needs no longer to start.
func (s *server) rest(ctx context.Context, group *process.Group) error {
	if err := group.Start(ctx, s.options.ControllerManager()); err != nil {
		return err
	}
	if !s.values.Bool("disable-scheduler") {
		if err := group.Start(ctx, s.options.Scheduler()); err != nil {
			return err
		}
	}
	if s.values.Bool("disable-kube-proxy") || s.values.Bool("disable-agent") {
		return nil
	}
	return group.Start(ctx, s.options.Proxy())
}

func nodeName(values *arguments.Values) (string, error) {
	if name := values.String("node-name"); name != "" {
		return name, nil
	}
	return host.Name()
}

func nodeAddress(values *arguments.Values) (string, error) {
	if list := values.List("node-ip"); len(list) > 0 {
		return list[0], nil
	}
	return host.Address()
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
