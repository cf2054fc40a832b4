// SPDX-License-Identifier: Apache-2.0

// Kubernetes is the real one: one program with the commands of Kubernetes, etcd and
// kine, chosen by the name that it is called by.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	_ "time/tzdata" // for CronJobs with a time zone

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // for kubectl
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"          // the log format
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // the metrics of clients
	_ "k8s.io/component-base/metrics/prometheus/version"  // the metric of the version
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"github.com/kairos-build/kairos-build/ci/kubernetes/versions"
)

func main() {
	versions.SetEtcd()
	name := filepath.Base(os.Args[0])
	if command, ok := commands()[name]; ok {
		os.Exit(cli.Run(command()))
	}
	if err := run(name); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// commands are the programs that are ready to be called.
func commands() map[string]func() *cobra.Command {
	return map[string]func() *cobra.Command{
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": manager.NewControllerManagerCommand,
		"kube-proxy":              proxy.NewProxyCommand,
		"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
		"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	}
}

func run(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch name {
	case "kubectl":
		return kubectl()
	case "etcd":
		stop() // etcd has its own way to end
		etcdmain.Main(os.Args)
		return nil
	case "etcd-save":
		return etcdSave(ctx, os.Args[1:])
	case "etcd-restore":
		return etcdRestore(os.Args[1:])
	case "kine":
		return kine(ctx, os.Args[1:])
	}
	return fmt.Errorf("there is no program of this name: link it to one of kube-apiserver, kube-controller-manager, kube-proxy, kube-scheduler, kubelet, kubectl, etcd, etcd-save, etcd-restore, kine")
}

func kubectl() error {
	if _, err := logs.GlogSetter(cmd.GetLogVerbosity(os.Args)); err != nil {
		return err
	}
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints it and ends with its status
	}
	return nil
}
