// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// A System runs programs on the node.
type System interface {
	// Run runs a program and returns its output, also with an error.
	Run(ctx context.Context, words ...string) (output string, err error)
}

// A Machine is the node that a plan is carried out on. Below a dry Root, no program
// runs and nothing changes.
type Machine struct {
	Root   tree.Root
	System System
	Kernel Kernel // what Stop asks for
}

// stateFile says which service this package started in this boot, and with what. It
// vanishes at a reboot, and so do the processes.
const stateFile = runDir + "/started.json"

// started is the content of stateFile.
type started struct {
	Unit   string `json:"unit"`
	Data   string `json:"data"` // the data directory
	Digest string `json:"digest"`
}

// Run checks a config and carries it out. files are those that the config was merged from.
// If an error in them costs a role, or may hide one, a running service is left alone.
func (m *Machine) Run(ctx context.Context, c *config.Config, files []config.File, image Image) []report.Item {
	if hidden := lost(files); len(hidden) > 0 {
		return unknown(hidden)
	}
	p, problems := Make(c, image)
	problems = append(problems, m.checkFiles(p, image)...).Only(config.Error)
	items := failures(problems)
	if slices.ContainsFunc(problems, costsRole) {
		return items
	}
	return append(items, m.Apply(ctx, p)...)
}

// unknown are the items of mistakes that hide the role.
func unknown(hidden config.Problems) (items []report.Item) {
	for _, p := range hidden {
		items = append(items, report.Item{Kind: "kubernetes", Name: "config", Outcome: report.Failed, Message: lostError(p).Error()})
	}
	return items
}

func costsRole(p config.Problem) bool {
	return slices.ContainsFunc(roles(), func(r role) bool { return slices.Contains(p.Costs, r.key) })
}

func failures(problems config.Problems) (items []report.Item) {
	for _, problem := range problems {
		items = append(items, report.Item{Kind: "kubernetes", Name: problem.Costs[0], Outcome: report.Failed, Message: said(problem), Origin: problem.Position.String()})
	}
	return items
}

// Apply carries out a plan: it stops the service of another role, writes and removes
// files, and starts or restarts the service. A service that runs with the same files is
// left alone. The second run changes nothing. What belongs below the data directory is
// written at once only if the service runs; otherwise Files writes it before the start.
func (m *Machine) Apply(ctx context.Context, p Plan) []report.Item {
	w := &work{Machine: m, plan: p}
	before, err := m.started()
	if err != nil {
		w.item("file", stateFile, false, err)
	}
	if before.Unit != "" && (before.Unit != p.Unit || before.Data != p.data) {
		w.item("systemctl", "stop "+before.Unit, true, m.leave(ctx, before))
		before = started{}
	}
	reload := w.files(m.Root.Dry != nil || p.Unit == before.Unit && before.Unit != "" && m.runs(ctx, p.Unit))
	if reload {
		w.failure("systemctl", "daemon-reload", m.run(ctx, "systemctl", "daemon-reload"))
	}
	if p.Unit != "" && !w.failed() {
		w.service(ctx, before)
	}
	return w.items
}

// work is a plan in progress.
type work struct {
	*Machine
	plan  Plan
	items []report.Item
}

func (w *work) item(kind, name string, changed bool, err error) {
	i := report.Item{Kind: kind, Name: name, Outcome: report.Unchanged}
	if w.plan.at != (config.Position{}) {
		i.Origin = w.plan.at.String()
	}
	switch {
	case err != nil:
		i.Outcome, i.Message = report.Failed, strings.ReplaceAll(err.Error(), "\n", "; ")
	case changed:
		i.Outcome = report.Changed
	}
	w.items = append(w.items, i)
}

func (w *work) failure(kind, name string, err error) {
	if err != nil {
		w.item(kind, name, false, err)
	}
}

// failed tells whether the service must not be started: a missing archive of images does
// not prevent that.
func (w *work) failed() bool {
	return slices.ContainsFunc(w.items, func(i report.Item) bool { return i.Outcome == report.Failed && i.Kind != "link" })
}

// files writes the files of the plan and removes those of earlier ones: mounted tells
// whether also below the data directory. reload is true if a unit changed.
func (w *work) files(mounted bool) (reload bool) {
	for _, name := range slices.Concat(w.stale(owned()), w.staleHosts()) {
		removed := w.remove(name)
		reload = reload || removed && isUnit(name)
	}
	if w.plan.Role != "" {
		w.privateDir(runDir)
	}
	w.failure("file", belowFile, w.handOver())
	for _, f := range w.plan.Files {
		if !w.plan.isBelow(f.Path) {
			changed := w.write(f)
			reload = reload || changed && isUnit(f.Path)
		}
	}
	if mounted || w.plan.Role == "" {
		w.below()
	} else {
		w.targets()
	}
	return reload
}

// below does what files does, below the data directory.
func (w *work) below() {
	for _, name := range w.stale(ownedBelow(w.plan.data)) {
		w.remove(name)
	}
	if w.plan.Role == config.K3s {
		w.privateDir(w.plan.data + "/server") // k3s leaves it alone if it exists
	}
	for _, f := range w.plan.Files {
		if w.plan.isBelow(f.Path) {
			w.write(f)
		}
	}
	for _, l := range w.plan.Links {
		changed, err := w.link(l)
		w.item("link", l.Path, changed, err)
	}
}

// targets reports archives that are not there yet.
func (w *work) targets() {
	for _, l := range w.plan.Links {
		if !w.Root.Exists(l.Target) {
			w.item("link", l.Path, false, l.missing())
		}
	}
}

func (w *work) remove(name string) bool {
	removed, err := w.Root.Remove(name)
	if removed || err != nil {
		w.item("file", name, removed, err)
	}
	return removed
}

func (w *work) write(f File) bool {
	changed, err := w.Root.Replace(f.Path, tree.File{Data: f.Data, Mode: f.Mode})
	w.item("file", f.Path, changed, err)
	return changed
}

// privateDir makes a directory that only root may enter.
func (w *work) privateDir(dir string) {
	if !w.Root.Exists(dir) {
		_, err := w.Root.MakeDir(dir, tree.File{Mode: 0o700})
		w.failure("directory", dir, err)
	}
}

func isUnit(name string) bool { return strings.HasPrefix(name, unitDir+"/") }

func (l Link) missing() error {
	return fmt.Errorf("there is no %s; make or fetch it in the stage boot or before", l.Target)
}

// link makes a symbolic link to an archive.
func (w *work) link(l Link) (changed bool, err error) {
	have, err := w.Root.Readlink(l.Path)
	switch {
	case err == nil && have == l.Target:
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EINVAL): // EINVAL: it is no link
		return false, err
	}
	if !w.Root.Exists(l.Target) {
		return false, l.missing()
	}
	if w.Root.Dry != nil {
		w.Root.Dry.Note(tree.Change{Path: l.Path, Old: []byte(have), New: []byte(l.Target), Mode: fs.ModeSymlink | 0o777})
		return true, nil
	}
	dir, err := w.Root.MakeAll(path.Dir(l.Path))
	if err != nil {
		return false, err
	}
	defer dir.Close()
	return true, dir.Symlink(l.Target, path.Base(l.Path))
}

// stale are our files that the plan does not have.
func (w *work) stale(owned []ownedFiles) (out []string) {
	for _, o := range owned {
		entries, err := w.Root.List(o.dir)
		if err != nil {
			continue // there is no such directory
		}
		for _, e := range entries {
			name := path.Join(o.dir, e.Name())
			if !e.IsDir() && o.has(e.Name()) && !w.plan.has(name) && w.isOurs(name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// staleHosts are folders of registries that the plan does not have: containerd looks for
// the folder first.
func (w *work) staleHosts() (out []string) {
	entries, err := w.Root.List(k0sHosts)
	if err != nil {
		return nil // there is no such directory
	}
	for _, e := range entries {
		folder := path.Join(k0sHosts, e.Name())
		if e.IsDir() && !w.plan.has(path.Join(folder, hostsFile)) {
			out = append(out, path.Join(folder, hostsFile), folder)
		}
	}
	return out
}

func (p Plan) has(name string) bool {
	return slices.ContainsFunc(p.Files, func(f File) bool { return f.Path == name }) ||
		slices.ContainsFunc(p.Links, func(l Link) bool { return l.Path == name })
}

// isOurs tells whether we wrote a file whose name may be that of a person's file.
func (w *work) isOurs(name string) bool {
	if name != k3sRegistries {
		return true
	}
	data, err := w.Root.Read(name)
	return err == nil && strings.HasPrefix(string(data), head)
}

// ownedFiles are the files of a directory whose names begin with prefix.
type ownedFiles struct{ dir, prefix string }

func (o ownedFiles) has(name string) bool { return strings.HasPrefix(name, o.prefix) }

// owned lists where our files are, outside of data directories.
func owned() []ownedFiles {
	all := []ownedFiles{
		{path.Dir(k3sArguments), path.Base(k3sArguments)}, {path.Dir(k3sRegistries), path.Base(k3sRegistries)},
		{path.Dir(k0sDropIn), path.Base(k0sDropIn)}, {runDir, "env"}, {runDir, "token"}, {runDir, path.Base(memberFile)},
		{unitDir + "/" + DatastoreUnit + ".d", dropInName},
	}
	for _, r := range roles() {
		all = append(all, ownedFiles{unitDir + "/" + r.unit + ".d", dropInName})
	}
	return all
}

// ownedBelow lists where our files are below data directories: the default ones, and that
// of the plan, unless it is empty.
func ownedBelow(data string) (all []ownedFiles) {
	for _, dir := range []string{"/var/lib/rancher/k3s", "/var/lib/k0s", data} {
		if dir == "" {
			continue
		}
		all = append(all,
			ownedFiles{dir + "/server/manifests/kairos", ""}, ownedFiles{dir + "/agent/pod-manifests", prefix}, ownedFiles{dir + "/agent/images", prefix},
			ownedFiles{dir + "/manifests/kairos", ""}, ownedFiles{dir + "/images", prefix})
	}
	return all
}

// service starts the service, or restarts it if it runs with other files. Neither waits
// for it: k3s is not started before its cluster answers.
func (w *work) service(ctx context.Context, before started) {
	now := started{Unit: w.plan.Unit, Data: w.plan.data, Digest: w.plan.digest(w.foreign(w.plan))}
	verb := "start"
	switch runs := w.runs(ctx, w.plan.Unit); {
	case runs && before == now:
		w.item("systemctl", "start "+w.plan.Unit, false, nil)
		return
	case runs:
		verb = "restart"
	}
	// The record comes last: without it, the next run restarts the service once more.
	err := w.run(ctx, "systemctl", "--no-block", verb, "--", w.plan.Unit)
	if err == nil {
		err = w.record(now)
	}
	w.item("systemctl", verb+" "+w.plan.Unit, true, err)
	if last := &w.items[len(w.items)-1]; err == nil {
		last.Outcome = report.Asked
	}
}

// runs tells whether a unit runs, or is about to.
func (m *Machine) runs(ctx context.Context, unit string) bool {
	if m.Root.Dry != nil {
		return false
	}
	output, _ := m.System.Run(ctx, "systemctl", "is-active", "--", unit) // its status has no more to say
	word, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
	return slices.Contains([]string{"active", "activating", "reloading"}, word)
}

// run runs a program, except in a dry run.
func (m *Machine) run(ctx context.Context, words ...string) error {
	if m.Root.Dry != nil {
		return nil
	}
	output, err := m.System.Run(ctx, words...)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(output))
	}
	return nil
}

// started is what this boot started last; the zero value is nothing.
func (m *Machine) started() (s started, err error) {
	data, err := m.Root.Read(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return started{}, fmt.Errorf("which service was started is not known: %w", err)
	}
	return s, nil
}

func (m *Machine) record(s started) error {
	if m.Root.Dry != nil {
		return nil
	}
	data, err := json.Marshal(s)
	if err == nil {
		_, err = m.Root.Replace(stateFile, tree.File{Data: append(data, '\n'), Mode: 0o600})
	}
	return err
}
