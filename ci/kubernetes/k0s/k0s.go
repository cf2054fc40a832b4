// SPDX-License-Identifier: Apache-2.0

// Package k0s has the command lines, files and manners of k0s. What runs in it are the
// programs of the release file (see package bundle), staged in DATA/bin.
package k0s

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

const (
	defaultData   = "/var/lib/k0s"
	defaultConfig = "/etc/k0s/k0s.yaml"
	runDir        = "/run/k0s"
)

// A Program is one call of k0s.
type Program struct {
	Name       string // by which it was called: k0s, kubectl, ctr
	Args       []string
	Executable string
	Bundle     *bundle.Bundle
	Out        io.Writer
	Err        io.Writer
}

// Run runs a call and returns the exit status.
func (p Program) Run(ctx context.Context) int {
	err := p.run(ctx)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(p.Err, "Error:", err)
	return 1
}

// A verb is a command of k0s.
type verb struct {
	name  string
	flags func(*flags) *pflag.FlagSet
	run   func(Program, context.Context, *flags) error
}

func verbs() []verb {
	return []verb{
		{"controller", controllerFlags, Program.controller},
		{"worker", workerFlags, Program.worker},
		{"status", statusFlags, Program.status},
		{"token", tokenFlags, Program.token},
		{"kubeconfig", dataFlags, Program.kubeconfig},
		{"config", configFlags, Program.config},
		{"version", dataFlags, Program.version},
		{"completion", dataFlags, Program.completion},
	}
}

func (p Program) run(ctx context.Context) error {
	if p.Name == "kubectl" || p.Name == "ctr" || p.Name == "crictl" {
		return p.tool(p.Name, p.Args)
	}
	if len(p.Args) == 0 || p.Args[0] == "--help" || p.Args[0] == "-h" {
		return p.help()
	}
	name, rest := p.Args[0], p.Args[1:]
	if name == "kubectl" || name == "ctr" || name == "kc" {
		return p.tool(map[string]string{"kubectl": "kubectl", "kc": "kubectl", "ctr": "ctr"}[name], rest)
	}
	for _, v := range verbs() {
		if v.name == name {
			return v.call(ctx, p, rest)
		}
	}
	return fmt.Errorf("unknown command %q for \"k0s\"", name)
}

func (v verb) call(ctx context.Context, p Program, args []string) error {
	f := &flags{}
	set := v.flags(f)
	set.SetOutput(p.Out)
	set.SortFlags = true
	for _, name := range p.Bundle.WithoutFlags {
		if set.Lookup(name) != nil {
			set = without(set, name)
		}
	}
	set.Usage = func() { // as cobra prints it
		fmt.Fprintf(p.Out, "Usage:\n  k0s %s [flags]\n\nFlags:\n%s", v.name, set.FlagUsages())
	}
	if err := set.Parse(args); err != nil {
		return err
	}
	f.rest = set.Args()
	return v.run(p, ctx, f)
}

// without gives the flags of a version that does not have one of them.
func without(set *pflag.FlagSet, name string) *pflag.FlagSet {
	rest := pflag.NewFlagSet(set.Name(), pflag.ContinueOnError)
	set.VisitAll(func(f *pflag.Flag) {
		if f.Name != name {
			rest.AddFlag(f)
		}
	})
	return rest
}

func (p Program) help() error {
	_, err := fmt.Fprintln(p.Out, "k0s - The zero friction Kubernetes\n\nUsage:\n  k0s [command]\n\nAvailable Commands:")
	for _, v := range verbs() {
		fmt.Fprintln(p.Out, "  "+v.name)
	}
	return err
}

func (p Program) version(context.Context, *flags) error {
	_, err := fmt.Fprintln(p.Out, p.Bundle.Version)
	return err
}

func (p Program) completion(_ context.Context, f *flags) error {
	if len(f.rest) != 1 {
		return errors.New("accepts 1 arg(s): bash, zsh, fish or powershell")
	}
	_, err := fmt.Fprintln(p.Out, "complete -W 'controller worker status token kubeconfig config version kubectl ctr' k0s")
	return err
}

// tool becomes a program of DATA/bin.
func (p Program) tool(name string, args []string) error {
	bin := filepath.Join(defaultData, "bin")
	if err := p.Bundle.Stage(bin); err != nil {
		return err
	}
	env := []string{"STANDIN_VERSION=" + p.Bundle.Version}
	if name == "kubectl" && os.Getenv("KUBECONFIG") == "" {
		env = append(env, "KUBECONFIG="+filepath.Join(defaultData, "pki", "admin.conf"))
	}
	if name == "ctr" {
		env = append(env, "CONTAINERD_ADDRESS="+filepath.Join(runDir, "containerd", "containerd.sock"), "CONTAINERD_NAMESPACE=k8s.io")
	}
	return process.Exec(process.Program{Name: name, Path: filepath.Join(bin, name), Args: args, Env: env})
}

func (p Program) kubeconfig(_ context.Context, f *flags) error {
	if len(f.rest) != 1 || f.rest[0] != "admin" {
		return errors.New("k0s kubeconfig: this stand-in has `k0s kubeconfig admin`")
	}
	data, err := os.ReadFile(filepath.Join(f.dataDir, "pki", "admin.conf"))
	if err != nil {
		return err
	}
	_, err = p.Out.Write(data)
	return err
}
