// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// dns writes the whole resolv.conf(5).
func (w *work) dns() {
	d := w.step.DNS
	if len(d.Nameservers)+len(d.Search)+len(d.Options) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString("# From the cloud-config.\n")
	for _, s := range d.Nameservers {
		b.WriteString("nameserver " + s.Text + "\n")
	}
	if len(d.Search) > 0 {
		b.WriteString("search " + joined(d.Search) + "\n")
	}
	if len(d.Options) > 0 {
		b.WriteString("options " + joined(d.Options) + "\n")
	}
	path := cmp.Or(d.Path, "/etc/resolv.conf")
	changed, err := w.Root.Replace(path, tree.File{Data: []byte(b.String()), Mode: 0o644})
	w.item("dns", path, changed, err, w.step.Origin)
}

func joined(texts []config.Text) string {
	words := make([]string, len(texts))
	for i, t := range texts {
		words[i] = t.Text
	}
	return strings.Join(words, " ")
}

// sysctl writes kernel parameters below /proc/sys. These files cannot be replaced
// by rename.
func (w *work) sysctl() {
	for _, s := range w.step.Sysctl {
		changed, err := w.setParameter(parameterPath(s.Name), s.Value.Text)
		w.item("sysctl", s.Name, changed, err, s.Value.Origin)
	}
}

// parameterPath follows sysctl.d(5): if the first separator is a slash, dots are
// part of names; else slashes and dots are exchanged.
func parameterPath(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return "/proc/sys/" + name
	}
	return "/proc/sys/" + strings.NewReplacer(".", "/", "/", ".").Replace(name)
}

func (w *work) setParameter(path, value string) (changed bool, err error) {
	have, err := w.Root.Read(path)
	if err != nil {
		return false, fmt.Errorf("this kernel has no such parameter, or its module is not loaded: %w", err)
	}
	if strings.Join(strings.Fields(string(have)), " ") == strings.Join(strings.Fields(value), " ") {
		return false, nil
	}
	if w.Dry() {
		w.Root.Dry.Note(tree.Change{Path: path, Old: have, New: []byte(value + "\n"), Mode: 0o644})
		return true, nil
	}
	return true, w.Root.WriteInPlace(path, []byte(value+"\n"))
}

// modules loads the missing kernel modules.
func (w *work) modules(ctx context.Context) {
	for _, name := range w.step.Modules {
		if w.Root.Exists("/sys/module/" + strings.ReplaceAll(name, "-", "_")) {
			w.item("module", name, false, nil, w.step.Origin)
			continue
		}
		w.item("module", name, true, w.run(ctx, "modprobe", "--", name), w.step.Origin)
	}
}

// run runs a program, except in a dry run. An error includes the command line.
func (w *work) run(ctx context.Context, words ...string) error {
	if w.Dry() {
		return nil
	}
	output, err := w.System.Run(ctx, words...)
	if err != nil {
		return fmt.Errorf("%s: %s", strings.Join(words, " "), commandFailure(err, output))
	}
	return nil
}

// timesyncdFile is below /run, so that it vanishes together with the config:
// /etc/systemd is persistent.
const timesyncdFile = "/run/systemd/timesyncd.conf.d/50-kairos-stages.conf"

// timesyncd sets the keys of the step and keeps those of other steps.
func (w *work) timesyncd(ctx context.Context) {
	if len(w.step.Timesyncd) == 0 {
		return
	}
	var changed bool
	var err error
	w.alone(func() {
		changed, err = w.editLines(timesyncdFile, 0o644, func(lines []string) []string {
			lines = withLine(lines, "[Time]", "[Time]")
			for _, s := range w.step.Timesyncd {
				lines = withLine(lines, s.Name+"=", s.Name+"="+s.Value.Text)
			}
			return lines
		})
	})
	if changed && err == nil && !w.Offline {
		err = w.run(ctx, "systemctl", "--no-block", "try-restart", "systemd-timesyncd.service")
	}
	w.item("timesyncd", timesyncdFile, changed, err, w.step.Origin)
}

// environment sets variables in a file for pam_env(8) and EnvironmentFile= of
// systemd.exec(5), and keeps the other variables in it.
func (w *work) environment() {
	if len(w.step.Environment) == 0 {
		return
	}
	path := cmp.Or(w.step.EnvironmentFile.Text, "/etc/environment")
	changed, err := w.editLines(path, w.environmentMode(), func(lines []string) []string {
		for _, s := range w.step.Environment {
			lines = withLine(lines, s.Name+"=", s.Name+"="+quoted(s.Value.Text))
		}
		return lines
	})
	w.item("environment", path, changed, err, w.step.Origin)
}

// environmentMode is the mode of a new file of variables: only root can read it if
// it holds a secret.
func (w *work) environmentMode() fs.FileMode {
	for _, s := range w.step.Environment {
		if config.LooksSecret(s.Name) {
			return 0o600
		}
	}
	return 0o644
}

// quoted quotes text for both pam_env and systemd.
func quoted(text string) string {
	if !strings.ContainsAny(text, " \t\"'\\#$;&|<>()*?`") {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(text) + `"`
}
