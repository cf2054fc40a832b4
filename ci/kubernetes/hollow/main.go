// SPDX-License-Identifier: Apache-2.0

// Hollow stands for the programs of Kubernetes where a test is about the shell around
// them: arguments, files, order, notify, exit codes. It has their names and a few of
// their arguments. Its API server stores objects under their paths and checks nothing
// but certificates; its kubelet tells that the node is Ready. No container runs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	name := filepath.Base(os.Args[0])
	run, ok := programs()[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "hollow: there is no program %q in it\n", name)
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1:]); err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func programs() map[string]func(context.Context, []string) error {
	return map[string]func(context.Context, []string) error{
		"etcd": etcd, "etcd-save": etcdSave, "etcd-restore": etcdRestore, "kine": kine,
		"kube-apiserver": apiServer, "kube-controller-manager": idle, "kube-scheduler": idle, "kube-proxy": idle,
		"kubelet": kubelet, "kubectl": kubectl, "containerd": containerd, "ctr": ctr, "crictl": crictl,
	}
}

// idle does nothing until it is told to end.
func idle(ctx context.Context, _ []string) error {
	<-ctx.Done()
	return nil
}

// flag finds --name=value or --name value.
func flag(args []string, name string) string {
	for i, arg := range args {
		if text, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return text
		}
		if arg == "--"+name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}
