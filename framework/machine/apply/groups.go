// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/accounts"
	"github.com/kairos-build/kairos-build/framework/machine/report"
)

// rootGroups creates the groups of the top-level key groups, and adds the members
// that exist. It runs after users.
func (m *Machine) rootGroups(ctx context.Context, c *config.Config) {
	if len(c.Groups) == 0 {
		return
	}
	if err := m.editGroups(ctx, c.Groups); err != nil {
		m.done("accounts", "/etc/group", report.Failed, config.Position{}, explain(err))
	}
}

func (m *Machine) editGroups(ctx context.Context, groups []config.Group) (err error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	unlock, err := accounts.Lock(ctx, m.Root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	db, err := accounts.Read(m.Root)
	if err != nil {
		return err
	}
	ids, err := accounts.ReadIDs(m.Root)
	if err != nil {
		m.done("accounts", accounts.IDsFile, report.Failed, config.Position{}, explain(err))
	}
	w := &accountsWork{m: m, db: db, ids: ids}
	for _, g := range groups {
		w.rootGroup(g)
	}
	_, writeErr := db.Write(m.Root)
	return errors.Join(ids.Write(m.Root), writeErr)
}

func (w *accountsWork) rootGroup(g config.Group) {
	_, existed := w.db.Group(g.Name)
	gid, err := w.group(g.Name, 0, false)
	if err != nil {
		w.m.done("group", g.Name, report.Failed, g.Origin, explain(err))
		return
	}
	changed := false
	var missing []string
	for _, name := range g.Members {
		if _, ok := w.db.Account(name); !ok {
			missing = append(missing, name)
			continue
		}
		changed = w.db.AddMember(g.Name, name) || changed
	}
	switch {
	case len(missing) > 0:
		w.m.done("group", g.Name, report.Failed, g.Origin, "there is no user "+strings.Join(missing, ", ")+"; list it under users")
	case !existed:
		w.m.done("group", g.Name, report.Created, g.Origin, fmt.Sprintf("gid %d", gid))
	default:
		w.m.finish("group", g.Name, changed, nil, g.Origin)
	}
}
