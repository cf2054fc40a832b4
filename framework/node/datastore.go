// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/datastore"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/history"
)

// preparedFile says what became of the datastore in this boot. Every user may read it.
const preparedFile = "/run/kairos/datastore.json"

// prepared is the content of preparedFile.
type prepared struct {
	Release string `json:"release"`
	Error   string `json:"error,omitempty"`
}

// PrepareDatastore makes the stopped datastore of this node ready for the Kubernetes of
// the image: it copies it, or puts a copy back. It tells the consoles and the history what
// was lost. It runs before every start of the service, and goes by what was applied: a
// config that is edited and not applied yet does not keep a service from restarting.
func (n *Node) PrepareDatastore(ctx context.Context) error {
	m, err := kubernetes.Applied(n.Root)
	if err != nil {
		return err
	}
	change, err := n.prepareDatastore(m)
	all := errors.Join(n.tellDatastore(ctx, m, change, err), n.writePrepared(m, err))
	if err != nil && all == nil {
		return ErrSaid
	}
	return all
}

func (n *Node) prepareDatastore(m kubernetes.Member) (datastore.Change, error) {
	switch {
	case !m.Server:
		return datastore.Change{}, nil
	case m.External:
		return datastore.Change{Notes: []string{"the datastore is not on this node: it is neither copied nor put back"}}, nil
	}
	s, err := n.datastore(m)
	if err != nil {
		return datastore.Change{}, err
	}
	s.Boot = n.datastoreBoot()
	return s.Prepare(m.Version)
}

// datastore is the datastore of this node.
func (n *Node) datastore(m kubernetes.Member) (datastore.Store, error) {
	dir, err := n.Root.Fixed(m.Data)
	return datastore.Store{Dir: dir, Distribution: m.Version.Distribution(), Now: time.Now}, err
}

// tellDatastore says what was done: a restore and an error on the consoles and in the
// history, the rest in the journal.
func (n *Node) tellDatastore(ctx context.Context, m kubernetes.Member, c datastore.Change, err error) error {
	for _, note := range c.Notes {
		fmt.Fprintln(n.Stdout, "kairos: "+note)
	}
	if c.Copied != nil {
		fmt.Fprintf(n.Stdout, "kairos: the datastore of %s is copied to %s, %d MiB\n", c.Copied.Release, c.Copied.Path, c.Copied.Bytes>>20)
	}
	var entries []history.Entry
	var lines []string
	if c.Restored != nil {
		lines = append(lines, c.Restored.String())
		entries = append(entries, history.Entry{Kind: history.Datastore, Version: c.Restored.Release, Outcome: history.OK, Message: c.Restored.String()})
	}
	if err != nil {
		lines = append(lines, fmt.Sprintf("%s is not started: %v", m.Unit, err))
		entries = append(entries, history.Entry{Kind: history.Datastore, Version: m.Version.String(), Outcome: history.Failed, Message: err.Error()})
	}
	return errors.Join(n.say(ctx, lines...), n.remember(entries))
}

func (n *Node) writePrepared(m kubernetes.Member, err error) error {
	p := prepared{Release: m.Version.String()}
	if err != nil {
		p.Error = err.Error()
	}
	data, err := json.Marshal(p)
	if err == nil {
		_, err = n.Root.Replace(preparedFile, tree.File{Data: append(data, '\n'), Mode: 0o644})
	}
	return err
}

// isPrepared returns nil if the datastore was made ready in this boot.
func (n *Node) isPrepared() error {
	data, err := n.Root.Read(preparedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it is not ready yet; see `journalctl -b -u %s`", kubernetes.DatastoreUnit)
	}
	var p prepared
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err == nil && p.Error != "" {
		err = fmt.Errorf("%s: %w", p.Error, health.ErrFinal)
	}
	return err
}

// datastoreCheck is the check that the datastore of a control plane was made ready, and
// that the role was not refused: a slot on trial is not good if the node cannot be in it
// what the config says.
func (n *Node) datastoreCheck(s standard) []config.Check {
	m, err := n.role(s.config, s.files)
	switch {
	case errors.Is(err, kubernetes.ErrNoRole), err == nil && !m.Server:
		return nil
	case err != nil:
		return []config.Check{{Name: "role in Kubernetes", Kubernetes: datastoreReady}}
	}
	return []config.Check{{Name: "datastore of Kubernetes", Kubernetes: datastoreReady}}
}

// datastoreReady is the check of datastoreCheck.
const datastoreReady = "datastore"
