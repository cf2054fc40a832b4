// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"time"

	"github.com/kairos-build/kairos-build/framework/node/history"
)

// past is the boot history; what is wrong with it is only said.
func (n *Node) past() []history.Entry {
	dir, err := n.Root.Fixed(history.Dir)
	if err == nil {
		var entries []history.Entry
		if entries, err = history.Read(dir); err == nil {
			return entries
		}
	}
	n.Log.Warn("reading the boot history", "error", err)
	return nil
}

// remember appends entries to the boot history. A boot has one entry of its
// kind, however often the agent is run.
func (n *Node) remember(entries []history.Entry) error {
	dir, err := n.Root.Fixed(history.Dir)
	if err != nil {
		return err
	}
	id := n.bootID()
	have, errs := n.past(), []error(nil)
	for _, e := range entries {
		if e.Kind == history.Boot && id != "" && recorded(have, id) {
			continue
		}
		e.Time, e.BootID = time.Now().UTC().Truncate(time.Second), id
		switch err := history.Append(dir, e); {
		case errors.Is(err, history.ErrDamaged):
			n.Log.Warn("a new boot history was begun", "error", err)
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func recorded(past []history.Entry, id string) bool {
	for _, e := range past {
		if e.Kind == history.Boot && e.BootID == id {
			return true
		}
	}
	return false
}
