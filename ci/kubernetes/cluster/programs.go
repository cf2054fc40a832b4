// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

// Variables by which the programs are told which versions they report.
const (
	VersionVariable = "STANDIN_VERSION"
	EtcdVariable    = "STANDIN_ETCD_VERSION"
)

// program makes a child with its arguments; those of the user come last and win.
func (o Options) program(name string, flags map[string]string, ready func() (*http.Client, string, error)) process.Program {
	p := process.Program{
		Name: name,
		Path: filepath.Join(o.Programs, name),
		Args: o.arguments(name, flags),
		Env:  []string{VersionVariable + "=" + o.Version, EtcdVariable + "=" + o.Etcd},
	}
	if ready != nil {
		if client, url, err := ready(); err == nil {
			p.Ready = process.Answers(client, url)
		}
	}
	return p
}

func (o Options) arguments(name string, flags map[string]string) []string {
	for _, extra := range o.Extra[name] {
		flag, text, _ := strings.Cut(extra, "=")
		flags[strings.TrimPrefix(flag, "--")] = text
	}
	return sorted(flags)
}

// APIServer is the first program after the datastore.
func (o Options) APIServer() process.Program {
	serving, kubelet, front := o.tls("serving-kube-apiserver"), o.tls("client-kube-apiserver"), o.tls("client-auth-proxy")
	return o.program("kube-apiserver", map[string]string{
		"advertise-address":                  o.IP,
		"allow-privileged":                   "true",
		"authorization-mode":                 "Node,RBAC",
		"bind-address":                       o.Bind,
		"secure-port":                        strconv.Itoa(o.Port),
		"client-ca-file":                     o.tls("client-ca").Cert,
		"enable-admission-plugins":           "NodeRestriction",
		"enable-bootstrap-token-auth":        "true",
		"etcd-servers":                       o.Datastore,
		"kubelet-client-certificate":         kubelet.Cert,
		"kubelet-client-key":                 kubelet.Key,
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"proxy-client-cert-file":             front.Cert,
		"proxy-client-key-file":              front.Key,
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-client-ca-file":       o.tls("request-header-ca").Cert,
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"service-account-issuer":             "https://kubernetes.default.svc." + o.Domain,
		"service-account-key-file":           o.tls("service").Key,
		"service-account-signing-key-file":   o.tls("service").Key,
		"service-cluster-ip-range":           o.Services,
		"service-node-port-range":            o.NodePorts,
		"tls-cert-file":                      serving.Cert,
		"tls-private-key-file":               serving.Key,
	}, o.apiReady)
}

func (o Options) apiReady() (*http.Client, string, error) {
	client, _, err := Client(o.Admin)
	return client, fmt.Sprintf("https://127.0.0.1:%d/readyz", o.Port), err
}

// ControllerManager comes after the node's own programs.
func (o Options) ControllerManager() process.Program {
	config := filepath.Join(o.TLS, "..", "cred", "controller.kubeconfig")
	return o.program("kube-controller-manager", map[string]string{
		"allocate-node-cidrs":              "true",
		"authentication-kubeconfig":        config,
		"authorization-kubeconfig":         config,
		"bind-address":                     "127.0.0.1",
		"cluster-cidr":                     o.Pods,
		"cluster-signing-cert-file":        o.tls("client-ca").Cert,
		"cluster-signing-key-file":         o.tls("client-ca").Key,
		"controllers":                      "*,tokencleaner",
		"kubeconfig":                       config,
		"leader-elect":                     "false",
		"root-ca-file":                     o.tls("server-ca").Cert,
		"service-account-private-key-file": o.tls("service").Key,
		"service-cluster-ip-range":         o.Services,
		"use-service-account-credentials":  "true",
	}, nil)
}

// Scheduler comes after the node's own programs.
func (o Options) Scheduler() process.Program {
	config := filepath.Join(o.TLS, "..", "cred", "scheduler.kubeconfig")
	return o.program("kube-scheduler", map[string]string{
		"authentication-kubeconfig": config,
		"authorization-kubeconfig":  config,
		"bind-address":              "127.0.0.1",
		"kubeconfig":                config,
		"leader-elect":              "false",
	}, nil)
}

// Proxy comes last.
func (o Options) Proxy() process.Program {
	return o.program("kube-proxy", map[string]string{
		"cluster-cidr":           o.Pods,
		"conntrack-max-per-core": "0",
		"healthz-bind-address":   "127.0.0.1:10256",
		"hostname-override":      o.Node,
		"kubeconfig":             o.agent("kubeproxy.kubeconfig"),
		"metrics-bind-address":   "127.0.0.1:10249",
		"proxy-mode":             "iptables",
	}, nil)
}

// KubeletProgram comes after the API server. It is ready when it answers; the node is
// Ready some time later.
func (o Options) KubeletProgram() process.Program {
	flags := map[string]string{
		"config":            o.agent("kubelet.yaml"),
		"hostname-override": o.Node,
		"kubeconfig":        o.agent("kubelet.kubeconfig"),
		"node-ip":           o.IP,
		"root-dir":          o.Kubelet,
	}
	if o.ConfigDirs != "" {
		flags["config-dir"] = o.ConfigDirs
	}
	if len(o.Labels) > 0 {
		flags["node-labels"] = strings.Join(o.Labels, ",")
	}
	return o.program("kubelet", flags, func() (*http.Client, string, error) {
		return &http.Client{Timeout: time.Minute}, "http://127.0.0.1:10248/healthz", nil
	})
}

// Containerd comes before the kubelet.
func (o Options) Containerd() process.Program {
	return process.Program{
		Name:  "containerd",
		Path:  filepath.Join(o.Programs, "containerd"),
		Args:  []string{"--config", o.agent("containerd.toml")},
		Env:   []string{"PATH=" + o.Programs + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Ready: process.Socket("unix", o.Socket()),
	}
}

// Kubectl runs kubectl as the administrator.
func (o Options) Kubectl(args ...string) process.Program {
	return process.Program{
		Name: "kubectl",
		Path: filepath.Join(o.Programs, "kubectl"),
		Args: append([]string{"--kubeconfig", o.Admin}, args...),
		Env:  []string{VersionVariable + "=" + o.Version},
	}
}

// Import brings an archive of images into containerd.
func (o Options) Import(archive string) process.Program {
	return process.Program{
		Name: "ctr",
		Path: filepath.Join(o.Programs, "ctr"),
		Args: []string{"--address", o.Socket(), "--namespace", "k8s.io", "images", "import", "--all-platforms", archive},
	}
}

// Socket is where containerd listens.
func (o Options) Socket() string { return filepath.Join(o.Run, "containerd", "containerd.sock") }
