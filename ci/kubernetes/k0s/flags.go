// SPDX-License-Identifier: Apache-2.0

package k0s

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// flags are the arguments of all commands.
type flags struct {
	rest []string

	dataDir, runDir, socket, config, output string
	tokenFile, role, expiry                 string
	enableWorker, single, noTaints          bool
	disable, taints, labels                 []string
	kubeletArgs, managerArgs                string
}

func dataFlags(f *flags) *pflag.FlagSet {
	set := pflag.NewFlagSet("k0s", pflag.ContinueOnError)
	set.StringVar(&f.dataDir, "data-dir", defaultData, "Data Directory for k0s")
	set.StringVar(&f.runDir, "run-dir", runDir, "folder of sockets and pid files")
	set.StringVar(&f.socket, "status-socket", "", "path of the status socket")
	set.BoolP("debug", "d", false, "debug logging")
	set.BoolP("verbose", "v", false, "verbose logging")
	return set
}

func statusFlags(f *flags) *pflag.FlagSet {
	set := dataFlags(f)
	set.StringVarP(&f.output, "out", "o", "", "format: json or yaml")
	return set
}

func configFlags(f *flags) *pflag.FlagSet {
	set := dataFlags(f)
	set.StringVarP(&f.config, "config", "c", "", "config file")
	return set
}

func tokenFlags(f *flags) *pflag.FlagSet {
	set := dataFlags(f)
	set.StringVar(&f.role, "role", "worker", "worker or controller")
	set.StringVar(&f.expiry, "expiry", "0s", "time until the token ends")
	set.Bool("wait", false, "wait for the controller")
	return set
}

func workerFlags(f *flags) *pflag.FlagSet {
	set := dataFlags(f)
	set.StringVar(&f.tokenFile, "token-file", "", "file with the join token")
	set.StringSliceVar(&f.labels, "labels", nil, "node labels, key=value")
	set.StringSliceVar(&f.taints, "taints", nil, "node taints, key=value:effect")
	set.StringVar(&f.kubeletArgs, "kubelet-extra-args", "", "further arguments of the kubelet")
	set.String("profile", "default", "worker profile")
	set.String("cri-socket", "", "socket of another container runtime")
	set.String("iptables-mode", "", "nft, legacy or auto")
	set.String("kubelet-root-dir", "", "root of the kubelet")
	set.StringP("logging", "l", "", "log levels of the components")
	set.Bool("enable-cloud-provider", false, "cloud provider of the kubelet")
	set.Bool("ignore-pre-flight-checks", false, "go on when a check does not pass")
	return set
}

func controllerFlags(f *flags) *pflag.FlagSet {
	set := workerFlags(f)
	set.StringVarP(&f.config, "config", "c", "", "config file")
	set.BoolVar(&f.enableWorker, "enable-worker", false, "run workloads on this node")
	set.BoolVar(&f.single, "single", false, "one node, with --enable-worker")
	set.BoolVar(&f.noTaints, "no-taints", false, "no taint on a controller that runs workloads")
	set.StringSliceVar(&f.disable, "disable-components", nil, "components: "+strings.Join(components, ","))
	set.StringVar(&f.managerArgs, "kube-controller-manager-extra-args", "", "further arguments of the controller manager")
	set.Bool("enable-dynamic-config", false, "configuration in the cluster")
	set.Bool("enable-metrics-scraper", false, "metrics of the components")
	set.Bool("enable-k0s-cloud-provider", false, "k0s' cloud provider")
	set.Bool("init-only", false, "prepare and end")
	set.String("feature-gates", "", "feature gates")
	return set
}

// components can be disabled.
var components = []string{
	"applier-manager", "autopilot", "control-api", "coredns", "csr-approver", "endpoint-reconciler", "helm", "konnectivity-server",
	"kube-controller-manager", "kube-proxy", "kube-scheduler", "metrics-server", "network-provider", "node-role", "system-rbac",
	"update-prober", "windows-node", "worker-config",
}

func (f *flags) check() error {
	for _, name := range f.disable {
		if !slices.Contains(components, name) {
			return fmt.Errorf("unknown component %s", name)
		}
	}
	return nil
}

func (f *flags) disabled(name string) bool { return slices.Contains(f.disable, name) }

func (f *flags) workloads() bool { return f.enableWorker || f.single }
