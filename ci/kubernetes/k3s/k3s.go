// SPDX-License-Identifier: Apache-2.0

// Package k3s has the command lines, files and manners of k3s. What runs in it are the
// programs of the release file (see package bundle).
//
// As in k3s there are two processes of one name after each other: the launcher unpacks
// the release and becomes DATA/data/HASH/bin/k3s, which does the work.
package k3s

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
	"github.com/kairos-build/kairos-build/ci/kubernetes/k3s/arguments"
	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

// A Program is one call of k3s.
type Program struct {
	Name    string // by which it was called: k3s, kubectl, crictl, ctr
	Args    []string
	Folder  string         // of the unpacked release; empty in the launcher
	Bundle  *bundle.Bundle // nil in what the launcher becomes
	Release bundle.Release
	Out     io.Writer
	Err     io.Writer
	Log     *slog.Logger
}

// Fatal is the level of the line that k3s ends with.
const Fatal = slog.LevelError + 4

// tools are programs that k3s passes a call to.
var tools = []string{"kubectl", "crictl", "ctr"}

// Run runs a call and returns the exit status.
func (p Program) Run(ctx context.Context) int {
	err := p.run(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return usage.status
	}
	p.Log.Log(ctx, Fatal, err.Error())
	return 1
}

// A usageError was already explained.
type usageError struct{ status int }

func (u usageError) Error() string { return "wrong usage" }

func (p Program) run(ctx context.Context) error {
	if slices.Contains(tools, p.Name) {
		return p.tool(p.Name, p.Args)
	}
	if len(p.Args) == 0 {
		return p.help()
	}
	command, rest := p.Args[0], p.Args[1:]
	switch command {
	case "--version", "-v":
		return p.version()
	case "--help", "-h", "help":
		return p.help()
	case "kubectl", "crictl", "ctr":
		return p.tool(command, rest)
	case "completion":
		return p.completion(rest)
	case "server", "agent", "etcd-snapshot", "token":
		return p.command(ctx, command, rest)
	}
	fmt.Fprintf(p.Out, "No help topic for '%s'\n", command)
	return usageError{3}
}

func (p Program) version() error {
	_, err := fmt.Fprintf(p.Out, "k3s version %s (standin)\ngo version %s\n", p.Release.Version, runtime.Version())
	return err
}

func (p Program) help() error {
	_, err := fmt.Fprintf(p.Out, "NAME:\n   k3s - Kubernetes, but small and simple\n\nUSAGE:\n   k3s [global options] command [command options] [arguments...]\n\n"+
		"VERSION:\n   %s\n\nCOMMANDS:\n   server         Run management server\n   agent          Run node agent\n   kubectl        Run kubectl\n"+
		"   crictl         Run crictl\n   ctr            Run ctr\n   token          Manage tokens\n   etcd-snapshot  Manage etcd snapshots\n"+
		"   completion     Install shell completion script\n", p.Release.Version)
	return err
}

func (p Program) completion(args []string) error {
	if len(args) == 0 || args[0] != "bash" && args[0] != "zsh" {
		return errors.New("must provide a valid SHELL argument")
	}
	_, err := fmt.Fprintf(p.Out, "complete -W 'server agent kubectl crictl ctr token etcd-snapshot completion' k3s\n")
	return err
}

// tool becomes one of the programs that have links to k3s.
func (p Program) tool(name string, args []string) error {
	folder, err := p.unpack(arguments.Environment("K3S_DATA_DIR"))
	if err != nil {
		return err
	}
	env := []string{"STANDIN_VERSION=" + p.Release.Version}
	if name == "kubectl" && os.Getenv("KUBECONFIG") == "" {
		env = append(env, "KUBECONFIG="+defaultKubeconfig)
	}
	if name == "ctr" && os.Getenv("CONTAINERD_ADDRESS") == "" {
		env = append(env, "CONTAINERD_ADDRESS="+filepath.Join(runDir, "containerd", "containerd.sock"), "CONTAINERD_NAMESPACE=k8s.io")
	}
	return process.Exec(process.Program{Name: name, Path: filepath.Join(folder, "bin", name), Args: args, Env: env})
}

// unpack gives the folder of this release, which the launcher makes.
func (p Program) unpack(dir string) (string, error) {
	if p.Bundle == nil {
		return p.Folder, nil
	}
	if dir == "" {
		dir = "/var/lib/rancher/k3s"
	}
	return p.Bundle.Data(dir)
}

// command reads the arguments; then the launcher becomes the program inside.
func (p Program) command(ctx context.Context, name string, args []string) error {
	command, _ := arguments.Find(name)
	command = command.Without(p.Release.WithoutFlags)
	verb, args := subcommand(name, args)
	values, err := command.Parse(arguments.Input{Args: args, Getenv: arguments.Environment, Warn: p.warn})
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Fprint(p.Out, command.Help())
		return err
	case err != nil:
		fmt.Fprintf(p.Out, "Incorrect Usage: %s\n\n%s\n", err, command.Help())
		return err
	case p.Bundle != nil:
		return p.launch(values)
	}
	switch name {
	case "server":
		return p.server(ctx, values)
	case "agent":
		return p.agent(ctx, values)
	case "token":
		return p.token(ctx, verb, values)
	}
	return p.snapshot(ctx, verb, values)
}

// subcommand takes the verb of "token create" or "etcd-snapshot save" off.
func subcommand(name string, args []string) (string, []string) {
	if (name == "token" || name == "etcd-snapshot") && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return args[0], args[1:]
	}
	return "", args
}

// warn is silent in the launcher: the program inside reads the same files.
func (p Program) warn(message string) {
	if p.Bundle == nil {
		p.Log.Warn(message)
	}
}

func (p Program) launch(values *arguments.Values) error {
	folder, err := p.unpack(values.String("data-dir"))
	if err != nil {
		return err
	}
	bin := filepath.Join(folder, "bin")
	path := "PATH=" + bin + ":" + os.Getenv("PATH") + ":" + filepath.Join(bin, "aux")
	if values.Bool("prefer-bundled-bin") {
		path = "PATH=" + bin + ":" + filepath.Join(bin, "aux") + ":" + os.Getenv("PATH")
	}
	return process.Exec(process.Program{Name: "k3s", Path: filepath.Join(bin, "k3s"), Args: p.Args, Env: []string{path}})
}
