// SPDX-License-Identifier: Apache-2.0

// Package node is this node as a value: how it comes up (datasources, config,
// stages, keys), how its slot on trial is kept or left, how it is upgraded, rolled
// back and reset, and what it says on its consoles. It owns the order of these
// things; the hands are in machine, the decisions in settle, slot and upgrade. It
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
	"github.com/kairos-build/kairos-build/framework/node/thisboot"
)

// ErrSaid is the error of what failed and has said all of it, on Stderr and in the
// reports.
var ErrSaid = errors.New("it failed, and said why")

// A Node is the system below a folder: the one that runs, when that is "/".
type Node struct {
	Root   tree.Root
	Stdout io.Writer // what the services say, for the journal
	Stderr io.Writer // what a person must know
	Log    *slog.Logger

	// What only a running node has. In tests they are stand-ins, or nil.
	OpenStore func(*thisboot.Boot) (Store, error) // nil: there is no boot environment
	Probe     health.Prober                       // nil: health.Probe
	Restart   func(ctx context.Context) error     // nil: nothing restarts
	System    stages.System                       // nil: stages.Programs
	Fetcher   stages.Fetcher                      // nil: stages.Web
	// AdjustSources changes where datasources look; nil: it stays.
	AdjustSources func(*datasource.Access)

	env []string // of the commands of stages, from the config
}

// Running tells whether it is the system that runs.
func (n *Node) Running() bool { return n.Root.Dir == "/" }

// bootID is the kernel's name of this boot, or empty.
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

// command runs a program of the node, and nothing elsewhere.
func (n *Node) command(ctx context.Context, words ...string) error {
	if !n.Running() {
		return nil
	}
	return output(exec.CommandContext(ctx, words[0], words[1:]...))
}

// output runs cmd; its words become part of the error.
func output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[:2], " "), err, bytes.TrimSpace(out))
	}
	return nil
}
