// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/datasource"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// datasourceMark is the start condition of kairos-datasource.service: a source must be
// asked over the network.
const datasourceMark = "/run/kairos/datasource.wanted"

// given is what the datasource of a node says or said in an earlier boot.
type given struct {
	record *datasource.Record
	state  datasource.Memory
}

func (n *Node) store() datasource.Store { return datasource.Store{Root: n.Root} }

// sources returns where datasources look: below the root of n.
func (n *Node) sources() *datasource.Access {
	m := &datasource.Access{
		FS: os.DirFS(n.Root.Dir), Log: n.Log,
		Open: func(device string) (*os.File, error) { return os.Open(filepath.Join(n.Root.Dir, device)) },
	}
	if n.Running() {
		m.LoadModule = func(ctx context.Context, name string) error {
			return output(exec.CommandContext(ctx, "modprobe", "--", name))
		}
	}
	if n.AdjustSources != nil {
		n.AdjustSources(m)
	}
	return m
}

// localTime is the time limit of all local sources together: a medium that hangs blocks
// the boot no longer than this.
const localTime = 20 * time.Second

// localData asks the sources that need no network, stores what they say, and sets up
// the network accordingly. Errors go into the record: the boot goes on.
func (n *Node) localData(ctx context.Context) given {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, localTime)
	defer cancel()
	m := n.sources()
	facts := datasource.ReadFacts(m.FS)
	local, remote, detectErr := m.Detect(facts)
	data, err := fetchLocal(ctx, m, local)
	g := n.keep(data, facts.ConfigURL != "")
	if err != nil && !errors.Is(err, datasource.ErrNone) {
		g.say(err)
	}
	g.say(detectErr)
	if data == nil || len(facts.Asked) > 0 {
		for _, s := range remote {
			g.record.Waiting = append(g.record.Waiting, s.Name())
		}
	}
	if facts.ConfigURL != "" {
		g.record.Waiting = append(g.record.Waiting, waitURL)
	}
	g.say(n.setUpNetwork(ctx, g.state.NetworkConfig))
	g.record.Milliseconds = sinceMilliseconds(start)
	return g
}

// fetchLocal fetches from local sources. When ctx is done it returns without a medium
// that hangs: a read from it cannot be cancelled.
func fetchLocal(ctx context.Context, m *datasource.Access, local []datasource.Source) (*datasource.Data, error) {
	type answer struct {
		data *datasource.Data
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		data, err := m.Fetch(ctx, local)
		answers <- answer{data, err}
	}()
	select {
	case a := <-answers:
		return a.data, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the local datasources did not answer within %v: does a CD-ROM or disk hang?", localTime)
	}
}

func sinceMilliseconds(start time.Time) float64 {
	return float64(time.Since(start).Microseconds()) / 1000
}

// say adds an error to the messages for a person.
func (g *given) say(err error) {
	if err != nil {
		g.record.Messages = append(g.record.Messages, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// keep stores data; nil keeps what is stored. With fromURL the kernel command line has
// a URL, and user data comes from there.
func (n *Node) keep(data *datasource.Data, fromURL bool) given {
	store := n.store()
	g := given{record: store.Keep()}
	if data != nil {
		if fromURL && len(data.UserData) > 0 {
			data.UserData = nil
			data.Notes = append(data.Notes, "the user data is not used: the kernel argument "+datasource.ArgConfigURL+" names another config")
		}
		r, err := store.Put(data)
		g.record = r
		g.say(err)
	}
	state, err := store.Memory()
	g.say(err)
	g.state = state
	return g
}

// below adds host name and keys to a config that was merged from the files; the files
// win. The keys go to the main user of the user data.
func (g given) below(c *config.Config, files []config.File) {
	if c.Hostname == "" {
		c.Hostname = g.state.Hostname
	}
	owner := ""
	for _, f := range files {
		if owner == "" && f.Used() && slices.Contains(g.state.Files, f.Name) {
			owner = f.Config.MainUser
		}
	}
	c.GiveKeys(owner, g.state.Keys)
}

// files returns the parts of the datasource that have problems, as files of the
// report. User data that is used is a file in /oem, which reports its problems.
func (g given) files() []report.File {
	var out []report.File
	for _, p := range g.record.Problems {
		network := strings.HasSuffix(p.File, "network-config")
		used := network && g.record.NetworkConfig != datasource.Refused
		if !network && g.record.UserData != datasource.Refused {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Name != p.File {
			out = append(out, report.File{Name: p.File, Used: used})
		}
		last := &out[len(out)-1]
		last.Problems = append(last.Problems, p)
	}
	return out
}

// items returns the errors of the datasource.
func (g given) items() []report.Item {
	var out []report.Item
	for _, m := range g.record.Messages {
		name := g.record.Source
		if name == "" {
			name = "node"
		}
		out = append(out, report.Item{Kind: "datasource", Name: name, Outcome: report.Failed, Message: m})
	}
	return out
}

// leave writes the record and the mark. A node without a datasource gets neither.
func (n *Node) leave(g given, c *config.Config) error {
	if c.ConfigURL != "" && !slices.Contains(g.record.Waiting, waitKey) {
		g.record.Waiting = append(g.record.Waiting, waitKey)
	}
	var err error
	if len(g.record.Waiting) > 0 {
		_, err = n.Root.Replace(datasourceMark, tree.File{Mode: 0o644})
	} else {
		_, err = n.Root.Remove(datasourceMark)
	}
	if g.record.Source == "" && len(g.record.Waiting) == 0 && len(g.record.Messages) == 0 {
		_, removeErr := n.Root.Remove(datasource.RecordFile)
		return errors.Join(err, removeErr)
	}
	return errors.Join(err, n.store().Write(g.record))
}
