// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/apply"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// Boot asks the local datasources, reads and applies the config files, writes the
// report, and runs the early stages.
func (n *Node) Boot(ctx context.Context) error {
	start := time.Now()
	found := n.localData(ctx)
	c := n.readConfig(found)
	c.items = append(c.items, n.bootcmd(ctx, c.merged)...)
	r := n.applyConfig(ctx, start, c)
	err := errors.Join(n.writeIssue(r), r.Write(n.Root), n.leave(found, c.merged), n.markChannel(c.merged.Upgrade))
	ok, stageErr := n.bootStages(ctx, c.merged)
	if err := errors.Join(err, stageErr); err != nil {
		return err
	}
	if !r.OK || !ok {
		return ErrSaid
	}
	return nil
}

// A configRead is the config of the node, as it was read.
type configRead struct {
	merged *config.Config
	files  []report.File
	items  []report.Item // of the datasource and of bootcmd
	failed bool          // some file has an error
}

// readConfig reads the config files. What they leave open comes from the datasource.
func (n *Node) readConfig(found given) configRead {
	loaded := config.Load(os.DirFS(n.Root.Dir), layout.ConfigDirs())
	merged, files := n.lastGood(loaded)
	n.adopt(merged.Env)
	found.below(merged, loaded.Files)
	return configRead{merged, append(found.files(), files...), found.items(), loaded.Problems().Failed()}
}

// applyConfig applies a config and prints what a person must know.
func (n *Node) applyConfig(ctx context.Context, start time.Time, c configRead) *report.Report {
	r := &report.Report{Files: c.files, Items: c.items}
	if item := n.fillHostname(c.merged); item != nil {
		r.Items = append(r.Items, *item)
	}
	r.Items = append(r.Items, n.machine().Apply(ctx, c.merged)...)
	r.OK = !c.failed && !failed(r.Items)
	r.Milliseconds = float64(time.Since(start).Microseconds()) / 1000
	for _, line := range r.Lines() {
		fmt.Fprintln(n.Stderr, "kairos: "+line)
	}
	return r
}

// bootcmdTime is the time limit of bootcmd. Together with earlyTime it is less than
// TimeoutStartSec= of kairos-boot.service.
const bootcmdTime = 25 * time.Second

// bootcmd runs the commands of the key bootcmd, before anything is applied. The report
// of the stages says what they did; bootcmd returns an item only if they failed.
func (n *Node) bootcmd(ctx context.Context, c *config.Config) []report.Item {
	ctx, cancel := context.WithTimeoutCause(ctx, bootcmdTime, fmt.Errorf("bootcmd has %v", bootcmdTime))
	defer cancel()
	reports, err := n.runPlans(ctx, n.engine(true), stages.Plans(c, config.BootcmdStage))
	if err == nil && !stages.AllOK(reports) {
		err = errors.New("a command failed; see kairos-agent report")
	}
	if err == nil {
		return nil
	}
	return []report.Item{{Kind: config.BootcmdStage, Name: "commands", Outcome: report.Failed, Message: err.Error(), Origin: c.Origins[config.BootcmdStage].String()}}
}

func failed(items []report.Item) bool {
	return slices.ContainsFunc(items, func(i report.Item) bool { return i.Outcome == report.Failed })
}

// machine returns the machine that the config is applied to.
func (n *Node) machine() *apply.Machine {
	m := &apply.Machine{Root: n.Root, Log: n.Log, Random: rand.Reader, Keys: n.keyStore()}
	if n.Running() && n.Root.Dry == nil {
		m.SetHostname = func(name string) error { return unix.Sethostname([]byte(name)) }
		m.CheckSudoers = checkSudoers
		if !n.offline() {
			m.ReloadUnits = func(ctx context.Context) error { return output(exec.CommandContext(ctx, "systemctl", "daemon-reload")) }
		}
	}
	return m
}

func checkSudoers(ctx context.Context, data []byte) error {
	cmd := exec.CommandContext(ctx, "visudo", "-c", "-q", "-f", "-")
	cmd.Stdin = bytes.NewReader(data)
	if err := output(cmd); err != nil {
		return fmt.Errorf("the rules are not written: %w", err)
	}
	return nil
}
