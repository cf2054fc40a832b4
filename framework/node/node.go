// SPDX-License-Identifier: Apache-2.0

// Package node is this node as a value: how it comes up (datasources, config,
// stages, keys), how its slot on trial is kept or left, how it is upgraded, rolled
// back and reset, and what it prints on its consoles. It owns the order of these
// things. The packages below machine do the work; settle, slot and upgrade decide. It
// parses no command line and prints no result.
package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/datasource"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// ErrSaid means that something failed and that Stderr and the reports already say
// everything about it.
var ErrSaid = errors.New("it failed, and said why")

// A Node is the system below a folder. If the folder is "/", it is the running system.
type Node struct {
	Root   tree.Root
	Stdout io.Writer // messages of the services, for the journal
	Stderr io.Writer // messages that a person must see
	Log    *slog.Logger

	// Only a running node has these. In tests they are stand-ins, or nil.
	OpenStore func(*thisboot.Boot) (Store, error) // nil: there is no boot environment
	Probe     health.Prober                       // nil: health.Probe
	Restart   func(ctx context.Context) error     // nil: nothing restarts
	System    stages.System                       // nil: stages.Programs
	Fetcher   stages.Fetcher                      // nil: stages.Web
	// AdjustSources changes where datasources look; nil: no change.
	AdjustSources func(*datasource.Access)

	env []string // of the commands of stages, from the config
}

// Running tells whether the node is the running system.
func (n *Node) Running() bool { return n.Root.Dir == "/" }

// bootID returns the kernel's ID of this boot, or "".
func (n *Node) bootID() string {
	data, err := n.Root.Read("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (n *Node) warn(doing string, err error) {
	if err != nil {
		n.Log.Warn(doing, "error", err)
	}
}

// command runs a program if the node is the running system; otherwise it does nothing.
func (n *Node) command(ctx context.Context, words ...string) error {
	if !n.Running() {
		return nil
	}
	return output(exec.CommandContext(ctx, words[0], words[1:]...))
}

// output runs cmd. An error contains the output of cmd.
func output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[:2], " "), err, bytes.TrimSpace(out))
	}
	return nil
}
