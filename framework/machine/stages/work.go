// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/accounts"
	"github.com/kairos-build/kairos-build/framework/machine/apply"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// work is one step in progress, with its templates filled in.
type work struct {
	*Engine
	step   config.Step
	report *StepReport
}

// do does the work of the step in the order of Kairos, with two exceptions. Disks,
// entities and users come first, because files may lie on them and belong to them.
// Fetches come after dns.
func (w *work) do(ctx context.Context) {
	w.alone(func() { w.diskLayout(ctx) })
	w.alone(w.ensureEntities)
	w.alone(func() { w.apply(ctx, &config.Config{Users: w.step.Users}) })
	w.alone(w.dns)
	w.unpackImages(ctx)
	w.git(ctx)
	w.downloads(ctx)
	w.alone(w.directories)
	w.alone(func() { w.apply(ctx, w.filesConfig()) })
	w.alone(w.links)
	w.commands(ctx)
	w.alone(w.deleteEntities)
	w.alone(func() { w.apply(ctx, w.hostnameConfig()) })
	w.alone(func() { w.firstboot(ctx) })
	w.alone(w.sysctl)
	w.alone(func() { w.keys(ctx) })
	w.modules(ctx)
	w.timesyncd(ctx)
	w.systemctl(ctx)
	w.alone(w.environment)
	w.datasource(ctx)
}

// alone runs do while it blocks file changes of other steps.
func (w *work) alone(do func()) {
	w.files.Lock()
	defer w.files.Unlock()
	do()
}

// item records an item as failed, changed or unchanged.
func (w *work) item(kind, name string, changed bool, err error, origin config.Position) {
	i := report.Item{Kind: kind, Name: name, Outcome: report.Unchanged, Origin: origin.String()}
	switch {
	case err != nil:
		i.Outcome, i.Message = report.Failed, err.Error()
	case changed:
		i.Outcome = report.Changed
	}
	w.report.Items = append(w.report.Items, i)
}

// apply passes users, files and the host name to package apply, which also applies
// the whole config.
func (w *work) apply(ctx context.Context, c *config.Config) {
	if len(c.Users) == 0 && len(c.WriteFiles) == 0 && c.Hostname == "" {
		return
	}
	w.report.Items = append(w.report.Items, w.Machine().ApplyStep(ctx, c)...)
}

func (w *work) filesConfig() *config.Config {
	c := new(config.Config)
	for _, f := range w.step.Files {
		c.WriteFiles = append(c.WriteFiles, f.WriteFile)
	}
	return c
}

func (w *work) hostnameConfig() *config.Config {
	return &config.Config{Hostname: w.step.Hostname.Text, Origins: map[string]config.Position{"hostname": w.step.Hostname.Origin}}
}

// keys adds SSH keys to existing users.
func (w *work) keys(ctx context.Context) {
	if len(w.step.AuthorizedKeys) == 0 {
		return
	}
	db, err := accounts.Read(w.Root)
	for _, k := range w.step.AuthorizedKeys {
		if err != nil {
			w.item("keys", k.User, false, err, k.Origin)
			continue
		}
		if _, ok := db.Account(k.User); !ok {
			w.item("keys", k.User, false, fmt.Errorf("there is no user %q; list it under users", k.User), k.Origin)
			continue
		}
		w.apply(ctx, &config.Config{Users: []config.User{{Name: k.User, Origin: k.Origin, SSHAuthorizedKeys: k.Keys}}})
	}
}

func (w *work) directories() {
	for _, d := range w.step.Directories {
		uid, gid, err := apply.Owner(w.Root, d.Owner, d.Group)
		changed := false
		if err == nil {
			changed, err = w.Root.MakeDir(d.Path.Text, tree.File{Mode: tree.Bits(d.Mode), UID: uid, GID: gid})
		}
		w.item("directory", d.Path.Text, changed, err, d.Origin)
	}
}

const commandKind = "command"

// commands runs each command, even after a failure.
func (w *work) commands(ctx context.Context) {
	for _, c := range w.step.Commands {
		i := report.Item{Kind: commandKind, Name: oneLine(c.Text), Outcome: report.Ran, Origin: c.Origin.String()}
		if w.Dry() {
			i.Message = "not in a dry run"
		} else if output, err := w.System.Run(ctx, shell(c.Text)...); true {
			w.report.Output += output
			if err != nil {
				i.Outcome, i.Message = report.Failed, commandFailure(err, output)
			}
		}
		w.report.Items = append(w.report.Items, i)
	}
}

// commandFailure returns the error and the last line of the command's output.
func commandFailure(err error, output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if last := oneLine(lines[len(lines)-1]); last != "" {
		return fmt.Sprintf("%v: %s", err, last)
	}
	return err.Error()
}
