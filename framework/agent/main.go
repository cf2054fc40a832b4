// SPDX-License-Identifier: Apache-2.0

// kairos-agent is the program of a node. It applies the cloud-config at every boot and
// runs its stages, announces that the node is ready, keeps or leaves a slot on trial
// by its health, upgrades the slot that does not run, chooses what the boot loader
// starts next, resets the node, installs it to a disk, and shows its status. It changes
// nothing else.
//
// The source has a file for each verb; `kairos-agent --help` lists the verbs. The exit
// status is 0 for success, 1 if something failed or a config has an error, 2 for a
// wrong command line. The program is also called kairos, as in Kairos.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "devel"

// program is what every verb works with.
type program struct {
	name           string    // of the called program; empty: kairos-agent
	node           node.Node // that the verbs work on
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{
		name: filepath.Base(os.Args[0]), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		node: node.Node{
			Root: tree.Root{Dir: "/"}, Stdout: os.Stdout, Stderr: os.Stderr, Log: newLog(os.Stdout),
			OpenStore: node.OpenStore, Restart: node.Restart,
		},
	}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// newLog returns a log without times: the journal adds them.
func newLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// run runs the command line args and returns the exit status.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.newRoot()
	root.SetIn(p.stdin)
	return commandline.Exit(p.stderr, root.Name(), commandline.Execute(ctx, root, longFlags(args), p.stdout, p.stderr))
}

// services is the group of verbs that units run: their log goes to the journal through
// stdout. The other verbs keep stdout for the result.
const services = "What systemd runs at boot"

func (p *program) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   agentName,
		Short: "Shows, upgrades and configures this node",
		Long: `kairos-agent is the program of a node: it shows how the node is, upgrades it and
goes back, and applies the cloud-config at every boot.`,
		Example: `  kairos-agent status
  sudo kairos-agent upgrade --source oci:registry.example.org/node:v2 --reboot
  kairos-agent validate /oem/90_site.yaml`,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			if cmd.GroupID != services {
				p.node.Log = newLog(p.stderr)
			}
		},
	}
	if p.name == secondName {
		root.Use = secondName
	}
	root.PersistentFlags().StringVar(&p.node.Root.Dir, "root", p.node.Root.Dir, "work on the system below `DIR`, not on the one that runs")
	root.PersistentFlags().Lookup("root").DefValue = "/"
	commandline.Prepare(root,
		commandline.Group{Title: "See how the node is", Verbs: []*cobra.Command{newStatus(p), newReport(p), newHealth(p), newVersion(p)}},
		commandline.Group{Title: "Install", Verbs: []*cobra.Command{newInstall(p), newManualInstall(p), newInteractiveInstall(p)}},
		commandline.Group{Title: "Upgrade and go back", Verbs: []*cobra.Command{newUpgrade(p), newRollback(p), newBootentry(p), newReset(p), newPolicy(p)}},
		commandline.Group{Title: "Work on the cloud-config", Verbs: []*cobra.Command{newValidate(p), newConfig(p), newRunStage(p), newSchema(p)}},
		commandline.Group{Title: "Work on Kubernetes", Verbs: []*cobra.Command{newToken()}},
		commandline.Group{Title: services, Verbs: newServices(p)},
	)
	return root
}

// The names of the program. The second is the name in Kairos, a link to the first.
const (
	agentName  = "kairos-agent"
	secondName = "kairos"
)

// longFlags turns -flag into --flag: earlier versions took both, and scripts use it. The
// only flag of one letter is -h.
func longFlags(args []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == "--" {
			break
		}
		if len(arg) > 2 && arg[0] == '-' && arg[1] != '-' {
			out[i] = "-" + arg
		}
	}
	return out
}

// reboot restarts the node, if it is a running one.
func (p *program) reboot(ctx context.Context) error {
	if p.node.Restart == nil {
		return nil
	}
	return p.node.Restart(ctx)
}
