// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/machine/datasource"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// Values of Record.Waiting besides the names of sources.
const (
	waitURL = datasource.ArgConfigURL // the kernel argument
	waitKey = "config_url"            // the key of a config
)

// Datasource asks the sources that the boot left for the network. If they say
// something new, Datasource applies the config again and runs the new steps for the
// stages up to "boot".
func (n *Node) Datasource(ctx context.Context) error {
	start := time.Now()
	past, err := n.atBoot()
	if err != nil {
		return err
	}
	before, err := n.store().Memory()
	if err != nil {
		return err
	}
	g, changed := n.remoteData(ctx, past)
	g.record.Milliseconds = sinceMilliseconds(start)
	newNetwork := g.state.NetworkConfig != before.NetworkConfig
	if newNetwork {
		g.say(n.setUpNetwork(ctx, g.state.NetworkConfig))
		g.say(n.reloadNetwork(ctx))
	}
	ok := true
	if len(changed) > 0 || newNetwork || g.state.Hostname != before.Hostname || !slices.Equal(g.state.Keys, before.Keys) || len(g.record.Lines()) > 0 {
		ok, err = n.applyAgain(ctx, g, changed)
	}
	if err := errors.Join(err, n.store().Write(g.record)); err != nil {
		return err
	}
	if !ok {
		return ErrSaid
	}
	return nil
}

// atBoot returns the record that the boot left.
func (n *Node) atBoot() (*datasource.Record, error) {
	r, err := datasource.Read(n.Root)
	if r == nil && err == nil {
		r = n.store().Keep()
	}
	return r, err
}

// remoteData asks the sources that past waits for and stores what they say. changed
// lists the config files that are new or different.
func (n *Node) remoteData(ctx context.Context, past *datasource.Record) (g given, changed []string) {
	m := n.sources()
	facts := datasource.ReadFacts(m.FS)
	_, remote, _ := m.Detect(facts) // the boot reported the error
	waiting := past.Waiting
	past.Waiting = nil
	g.record = past
	remote = slices.DeleteFunc(remote, func(s datasource.Source) bool { return !slices.Contains(waiting, s.Name()) })
	if len(remote) > 0 {
		data, err := m.Fetch(ctx, remote)
		g = n.keep(data, facts.ConfigURL != "")
		g.record.Messages = append(slices.Clone(past.Messages), g.record.Messages...)
		g.say(missing(err, remote))
		if g.record.UserData == datasource.Stored {
			changed = append(changed, g.record.Files...)
		}
	} else {
		state, err := n.store().Memory()
		g.state = state
		g.say(err)
	}
	if facts.ConfigURL != "" {
		changed = append(changed, n.fromURL(ctx, m, &g, facts.ConfigURL, datasource.UserDataFile)...)
	}
	// The data that just came may have the key config_url.
	if url := n.loadConfig().ConfigURL; url != "" {
		changed = append(changed, n.fromURL(ctx, m, &g, url, datasource.ConfigURLFile)...)
	}
	return g, changed
}

// missing replaces datasource.ErrNone: the machine has these sources, and they are
// silent.
func missing(err error, sources []datasource.Source) error {
	if !errors.Is(err, datasource.ErrNone) {
		return err
	}
	return fmt.Errorf("this machine has the datasource %s, and it says nothing", sources[0].Name())
}

// fromURL fetches the config at a URL and stores it as file.
func (n *Node) fromURL(ctx context.Context, m *datasource.Access, g *given, address, file string) (changed []string) {
	source := datasource.ConfigURL(address)
	data, err := source.Fetch(ctx, m)
	if err != nil {
		g.say(fmt.Errorf("fetching the config of %s: %w", fetch.Shown(address), err))
		return nil
	}
	data.Source = source.Name()
	r, err := n.store().PutConfig(data, file)
	g.say(err)
	g.record.Problems = append(g.record.Problems, r.Problems...)
	g.record.Messages = append(g.record.Messages, r.Messages...)
	for _, f := range r.Files {
		if !slices.Contains(g.record.Files, f) {
			g.record.Files = append(g.record.Files, f)
		}
	}
	if g.record.Source == "" {
		g.record.Source, g.record.Place, g.record.UserData = r.Source, r.Place, r.UserData
	}
	if r.UserData == datasource.Stored {
		return r.Files
	}
	return nil
}

// applyAgain applies the config as the boot did, and runs the steps in changed files.
func (n *Node) applyAgain(ctx context.Context, g given, changed []string) (ok bool, err error) {
	c := n.readConfig(g)
	names := slices.Concat([]string{config.BootcmdStage}, earlyStages, []string{"boot"})
	r := n.applyConfig(ctx, time.Now(), c)
	err = errors.Join(n.writeIssue(r), r.Write(n.Root))
	reports, stageErr := n.runPlans(ctx, n.engine(false), stages.Plans(only(c.merged, changed), names...))
	err = errors.Join(err, stageErr, n.markStages(c.merged))
	for _, name := range []string{"network", "reconcile"} {
		if len(stages.Plans(c.merged, name)) > 0 {
			err = errors.Join(err, n.command(ctx, "systemctl", "--no-block", "start", "kairos-stage-"+name+".timer"))
		}
	}
	if n.needsKubernetes(kubernetesStage, c.merged) {
		err = errors.Join(err, n.command(ctx, "systemctl", "--no-block", "restart", "kairos-kubernetes.service"))
	}
	n.warn("writing what stands above the login prompt", n.refreshIssue(ctx))
	return r.OK && stages.AllOK(reports), err
}

// only returns a config with only the steps that come from the given files.
func only(c *config.Config, files []string) *config.Config {
	out := &config.Config{Stages: map[string][]config.Step{}}
	for stage, steps := range c.Stages {
		for _, s := range steps {
			if slices.Contains(files, s.Origin.File) {
				out.Stages[stage] = append(out.Stages[stage], s)
			}
		}
	}
	return out
}

// stepDatasource carries out the key "datasource" of a step.
func (n *Node) stepDatasource(ctx context.Context, d config.Datasource) (stored string, changed bool, err error) {
	m := n.sources()
	file := dataFile(d)
	data, err := n.askProviders(ctx, m, d)
	if err != nil {
		return "", false, err
	}
	put := func() (*datasource.Record, error) { return n.store().PutConfig(data, file) }
	if file == datasource.UserDataFile {
		put = func() (*datasource.Record, error) { return n.store().Put(data) }
	}
	r, err := put()
	if err != nil {
		return "", false, err
	}
	if lines := r.Lines(); r.UserData == datasource.Refused || len(r.Messages) > 0 {
		return "", false, errors.New(strings.Join(lines, "; "))
	}
	return strings.Join(r.Files, ", "), r.Changed(), n.store().Write(r)
}

// askProviders asks the sources of a step, in their order.
func (n *Node) askProviders(ctx context.Context, m *datasource.Access, d config.Datasource) (*datasource.Data, error) {
	var all []datasource.Source
	for _, name := range d.Providers {
		if name == "file" {
			data, err := n.Root.Read(d.Path)
			if err != nil {
				return nil, err
			}
			return &datasource.Data{Source: "file", Place: d.Path, UserData: data}, nil
		}
		sources, err := datasource.Named(name)
		if err != nil {
			return nil, err
		}
		all = append(all, sources...)
	}
	data, err := m.Fetch(ctx, all)
	if data != nil {
		return data, nil
	}
	return nil, err
}

// dataFile returns the file in which the user data of a step is stored.
func dataFile(d config.Datasource) string {
	switch {
	case d.Path == "" || slices.Contains(d.Providers, "file"):
		return datasource.UserDataFile
	case path.Ext(d.Path) == ".yaml" || path.Ext(d.Path) == ".yml":
		return d.Path
	case d.Name != "":
		return path.Join(d.Path, d.Name)
	}
	return path.Join(d.Path, "userdata.yaml")
}
