// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/apply"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

func newBoot(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "boot",
		Short:   "Apply the cloud-config and run its early stages (kairos-boot.service)",
		Example: "  kairos-agent boot",
		Args:    commandline.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.boot(cmd.Context()) },
	}
}

// boot asks the local datasources, reads the config files, applies them, leaves
// the report, and runs the stages that come before everything else.
func (p *program) boot(ctx context.Context) error {
	start := time.Now()
	found := p.localData(ctx)
	c := p.readConfig(found)
	c.items = append(c.items, p.bootcmd(ctx, c.merged)...)
	r := p.applyConfig(ctx, start, c)
	err := errors.Join(p.writeIssue(r), r.Write(p.root), p.leave(found, c.merged))
	ok, stageErr := p.bootStages(ctx, c.merged)
	if err := errors.Join(err, stageErr); err != nil {
		return err
	}
	if !r.OK || !ok {
		return commandline.ErrQuiet
	}
	return nil
}

// A configRead is what the node is configured by.
type configRead struct {
	merged *config.Config
	files  []report.File
	items  []report.Item // of the datasource and of bootcmd
	failed bool          // some file has an error
}

// readConfig reads the config files, with what the datasource says below them.
func (p *program) readConfig(found given) configRead {
	loaded := config.Load(os.DirFS(p.root.Dir), layout.ConfigDirs())
	merged, files := p.lastGood(loaded)
	p.adopt(merged.Env)
	found.below(merged, loaded.Files)
	return configRead{merged, append(found.files(), files...), found.items(), loaded.Problems().Failed()}
}

// applyConfig applies a config, and says what a person must know.
func (p *program) applyConfig(ctx context.Context, start time.Time, c configRead) *report.Report {
	r := &report.Report{Files: c.files, Items: c.items}
	if item := p.fillHostname(c.merged); item != nil {
		r.Items = append(r.Items, *item)
	}
	r.Items = append(r.Items, p.machine().Apply(ctx, c.merged)...)
	r.OK = !c.failed && !failed(r.Items)
	r.Milliseconds = float64(time.Since(start).Microseconds()) / 1000
	for _, line := range r.Lines() {
		fmt.Fprintln(p.stderr, "kairos: "+line)
	}
	return r
}

// bootcmdTime is what bootcmd has: with earlyTime it is less than the patience
// of systemd with kairos-boot.service.
const bootcmdTime = 25 * time.Second

// bootcmd runs the commands of the key bootcmd, before anything is applied. What
// they did is in the report of the stages; here is only whether they failed.
func (p *program) bootcmd(ctx context.Context, c *config.Config) []report.Item {
	ctx, cancel := context.WithTimeoutCause(ctx, bootcmdTime, fmt.Errorf("bootcmd has %v", bootcmdTime))
	defer cancel()
	reports, err := p.runPlans(ctx, p.engine(true), plans(c, config.BootcmdStage))
	if err == nil && !stagesOK(reports) {
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

// machine is what the config is applied to.
func (p *program) machine() *apply.Machine {
	m := &apply.Machine{Root: p.root, Log: p.log, Random: rand.Reader, Keys: p.keyStore()}
	if p.onNode() && p.root.Dry == nil {
		m.SetHostname = func(name string) error { return unix.Sethostname([]byte(name)) }
		m.CheckSudoers = checkSudoers
		if !p.offline() {
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

// output runs cmd; its words become part of the error.
func output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[:2], " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// issueFile is shown by agetty(8) above every login prompt. /etc is new at
// every boot, so the file goes by itself when the config is right again.
const issueFile = "/etc/issue.d/50-kairos-config.issue"

// writeIssue puts what a person must know above the login prompt.
func (p *program) writeIssue(r *report.Report) error {
	lines := r.Lines()
	if len(lines) == 0 {
		_, err := p.root.Remove(issueFile)
		return err
	}
	text := "The configuration of this node has problems (see kairos-agent status):\n  " + strings.Join(lines, "\n  ") + "\n\n"
	data := []byte(strings.ReplaceAll(text, `\`, `\\`)) // agetty has escapes of its own
	_, err := p.root.Replace(issueFile, tree.File{Data: data, Mode: 0o644})
	return err
}

// lastGoodDir keeps a copy of every config file that was correct.
const lastGoodDir = "/var/lib/kairos/last-good"

// lastGood keeps a copy of each correct file, and gives a file with errors the
// users, keys and SSH settings of its copy, so that a typo locks nobody out.
// Copies of files that are gone are removed: who deletes a file means it.
func (p *program) lastGood(l config.Loaded) (*config.Config, []report.File) {
	var used []*config.Config
	var files []report.File
	keep := map[string]bool{}
	for _, f := range l.Files {
		keep[copyName(f.Name)] = true
		entry := report.File{Name: f.Name, Used: f.Used(), Problems: f.Problems}
		mine, fromCopy := p.usable(f)
		used, entry.LastGood = append(used, mine...), fromCopy
		if f.Whole() && f.OnDisk() {
			p.warn("keeping a copy of "+f.Name, p.keepCopy(f.Name))
		}
		files = append(files, entry)
	}
	p.warn("removing old copies of config files", p.forget(keep))
	return config.Merge(used...), files
}

// usable is what a config file says. What its mistakes cost of what keeps the node
// reachable, and of what its health is measured by, is that of its copy.
func (p *program) usable(f config.File) (c []*config.Config, fromCopy bool) {
	if !f.Whole() {
		if kept := p.recall(f); kept != nil {
			c = append(c, kept)
		}
	}
	fromCopy = len(c) > 0
	if f.Used() {
		c = append(c, f.Config)
	}
	return c, fromCopy
}

func (p *program) warn(doing string, err error) {
	if err != nil {
		p.log.Warn(doing, "error", err)
	}
}

func copyName(name string) string { return strings.ReplaceAll(strings.Trim(name, "/"), "/", "%") }

func (p *program) keepCopy(name string) error {
	data, err := p.root.Read(name)
	if err == nil {
		_, err = p.root.Replace(lastGoodDir+"/"+copyName(name), tree.File{Data: data, Mode: 0o600})
	}
	return err
}

// loginKeys are the keys of a config that say who can log in.
var loginKeys = []string{"users", "user", "password", "chpasswd", "ssh_authorized_keys", "ssh_import_id", "ssh_pwauth", "ssh_forges", "stages"}

// recall returns what keeps a node reachable of the copy of a file, also in its
// steps, and what its health is measured by: of a file that is used in part, only
// what the file lacks. Nil when there is no copy, or nothing is lacking.
func (p *program) recall(f config.File) *config.Config {
	data, err := p.root.Read(lastGoodDir + "/" + copyName(f.Name))
	if err != nil {
		return nil
	}
	c, problems := config.Options{Compat: true}.Decode(f.Name, data) // it was accepted once
	if problems.Refused() {
		return nil
	}
	lacks := func(keys ...string) bool { return !f.Used() || f.Lacks(keys...) }
	out := &config.Config{Origins: c.Origins, MainUser: c.MainUser, Distribution: c.Distribution}
	if lacks(loginKeys...) {
		out.Users, out.SSHAuthorizedKeys, out.SSHForges = c.Users, c.SSHAuthorizedKeys, c.SSHForges
		out.SSHPasswordAuth, out.PasswordLogins, out.Stages = c.SSHPasswordAuth, c.PasswordLogins, loginSteps(c.Stages)
	}
	if lacks("health") {
		out.Health = c.Health
	}
	if lacks("upgrade") {
		out.Upgrade = c.Upgrade
	}
	if lacks("strict") {
		out.Strict = c.Strict
	}
	if !lacks(append([]string{"health", "upgrade", "strict"}, loginKeys...)...) {
		return nil
	}
	return out
}

// loginSteps are the steps that make users and give them keys, without what else
// they do. Their order stays, so they wait for no other by name.
func loginSteps(all map[string][]config.Step) map[string][]config.Step {
	out := map[string][]config.Step{}
	for stage, steps := range all {
		for _, s := range steps {
			if len(s.Users)+len(s.AuthorizedKeys)+len(s.EnsureEntities) == 0 {
				continue
			}
			out[stage] = append(out[stage], config.Step{
				Name: s.Name, Origin: s.Origin, Path: s.Path, Title: s.Title,
				If: s.If, IfFiles: s.IfFiles, OnlyOS: s.OnlyOS, OnlyOSVersion: s.OnlyOSVersion, OnlyArch: s.OnlyArch,
				OnlyServiceManager: s.OnlyServiceManager, Node: s.Node,
				EnsureEntities: s.EnsureEntities, Users: s.Users, AuthorizedKeys: s.AuthorizedKeys,
			})
		}
	}
	return out
}

func (p *program) forget(keep map[string]bool) error {
	entries, err := p.root.List(lastGoodDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			_, removeErr := p.root.Remove(lastGoodDir + "/" + e.Name())
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
