// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Options say where a cluster's files are and what it is like.
type Options struct {
	TLS       string // certificates and keys of the control plane
	Agent     string // kubeconfigs and certificates of the node's programs
	Programs  string // the programs themselves
	Kubelet   string // root of the kubelet
	Runtime   string // root of containerd
	Run       string // its sockets and state
	CNI       string // folder of the CNI plugins
	CNIConfig string // folder of their configuration
	Static    string // manifests of static pods
	Admin     string // kubeconfig of the administrator
	AdminMode uint32

	Node       string // the node's name
	IP         string // its address
	Bind       string // address of the API server
	Port       int    // the API server listens here
	Front      int    // clients come here
	Pods       string // networks
	Services   string
	NodePorts  string
	DNS        string
	Domain     string
	Pause      string   // image of a pod's sandbox
	Names      []string // more names and addresses of the API server
	Datastore  string   // URL of etcd or kine
	Labels     []string
	Taints     []string
	Resolv     string
	Version    string              // that the programs report
	Etcd       string              // version that etcd reports
	Extra      map[string][]string // component -> its further arguments, flag=value
	ConfigDirs string              // further configuration of the kubelet
}

func (o Options) tls(name string) Pair { return pair(o.TLS, name) }

func (o Options) agent(name string) string { return filepath.Join(o.Agent, name) }

// Certificates makes all certificates and kubeconfigs of a node with a control plane.
func (o Options) Certificates() error {
	server, err := o.tls("server-ca").Authority("server-ca")
	if err != nil {
		return err
	}
	client, err := o.tls("client-ca").Authority("client-ca")
	if err != nil {
		return err
	}
	front, err := o.tls("request-header-ca").Authority("request-header-ca")
	if err != nil {
		return err
	}
	if err := front.Issue(o.tls("client-auth-proxy"), Subject{Name: "system:auth-proxy"}); err != nil {
		return err
	}
	if err := EnsureKey(o.tls("service").Key); err != nil {
		return err
	}
	if err := server.Issue(o.tls("serving-kube-apiserver"), Subject{Name: "kube-apiserver", Hosts: o.hosts()}); err != nil {
		return err
	}
	if err := server.Issue(pair(o.Agent, "serving-kubelet"), Subject{Name: o.Node, Hosts: []string{o.Node, o.IP, "127.0.0.1"}}); err != nil {
		return err
	}
	return o.clients(client)
}

// hosts are the names of the API server.
func (o Options) hosts() []string {
	hosts := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + o.Domain,
		"localhost", "127.0.0.1", firstAddress(o.Services), o.IP, o.Node,
	}
	return append(hosts, o.Names...)
}

// firstAddress is the address of the service "kubernetes": the first of the network.
func firstAddress(network string) string { return address(network, "1") }

// DNS is the address of the cluster's name server: the tenth of the services' network.
func DNS(services string) string { return address(services, "10") }

func address(network, last string) string {
	address, _, _ := strings.Cut(network, "/")
	parts := strings.Split(address, ".")
	parts[len(parts)-1] = last
	return strings.Join(parts, ".")
}

// clients are the names by which programs reach the API server.
func (o Options) clients(ca *Authority) error {
	subjects := map[string]Subject{
		"client-admin":          {Name: "system:admin", Groups: []string{"system:masters"}},
		"client-kube-apiserver": {Name: "system:apiserver", Groups: []string{"system:masters"}},
		"client-controller":     {Name: "system:kube-controller-manager"},
		"client-scheduler":      {Name: "system:kube-scheduler"},
		"client-kube-proxy":     {Name: "system:kube-proxy"},
		"client-kubelet":        {Name: "system:node:" + o.Node, Groups: []string{"system:nodes"}},
	}
	for _, name := range slices.Sorted(maps.Keys(subjects)) {
		if err := ca.Issue(o.tls(name), subjects[name]); err != nil {
			return err
		}
	}
	return o.kubeconfigs()
}

func (o Options) kubeconfigs() error {
	direct := fmt.Sprintf("https://127.0.0.1:%d", o.Port)
	files := map[string]string{
		filepath.Join(o.TLS, "..", "cred", "controller.kubeconfig"): "client-controller",
		filepath.Join(o.TLS, "..", "cred", "scheduler.kubeconfig"):  "client-scheduler",
		o.agent("kubelet.kubeconfig"):                               "client-kubelet",
		o.agent("kubeproxy.kubeconfig"):                             "client-kube-proxy",
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := WriteKubeconfig(file, direct, o.tls("server-ca").Cert, o.tls(files[file]), 0o600); err != nil {
			return err
		}
	}
	return WriteKubeconfig(o.Admin, fmt.Sprintf("https://127.0.0.1:%d", o.Front), o.tls("server-ca").Cert, o.tls("client-admin"), o.AdminMode)
}
