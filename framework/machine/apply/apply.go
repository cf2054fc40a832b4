// SPDX-License-Identifier: Apache-2.0

// Package apply makes a machine be as its config says: host name, users,
// files, SSH host keys. Doing it twice changes nothing. One thing that fails
// does not stop the others; each has its outcome in the report.
package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/sshkeys"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// Machine is what a config is applied to.
type Machine struct {
	Root   tree.Root
	Log    *slog.Logger
	Random io.Reader // salts and keys
	// SetHostname tells the kernel; nil: only the files are written.
	SetHostname func(name string) error
	// Keys knows the keys of places such as github:NAME; nil: an entry that
	// names one is a failure.
	Keys *sshkeys.Store
	// CheckSudoers tells what is wrong with the content of a sudoers file;
	// nil: nothing is checked.
	CheckSudoers func(ctx context.Context, data []byte) error
	// ReloadUnits makes systemd read changed units; nil: it is not told.
	ReloadUnits func(ctx context.Context) error

	items  []report.Item
	reload bool // some unit changed
	adding bool // keys and rules are added to those that are there
}

// Apply applies c and returns what happened, in order.
func (m *Machine) Apply(ctx context.Context, c *config.Config) []report.Item {
	m.items, m.reload, m.adding = nil, false, false
	m.hostname(c)
	m.users(ctx, c)
	m.rootGroups(ctx, c)
	m.files(c)
	m.sshd(c)
	m.hostKeys()
	m.reloadUnits(ctx)
	return m.items
}

// ApplyStep applies the users, files and host name that a step of a stage asks
// for. What the rest of the config gave stays: keys are added to those that a
// user has, and sudo rules that it does not name are left alone.
func (m *Machine) ApplyStep(ctx context.Context, c *config.Config) []report.Item {
	m.items, m.reload, m.adding = nil, false, true
	m.users(ctx, c)
	m.files(c)
	if c.Hostname != "" {
		m.hostname(c)
	}
	m.reloadUnits(ctx)
	return m.items
}

// done records an item.
func (m *Machine) done(kind, name string, outcome report.Outcome, origin config.Position, note string) {
	item := report.Item{Kind: kind, Name: name, Outcome: outcome, Message: note}
	if origin.File != "" {
		item.Origin = origin.String()
	}
	m.items = append(m.items, item)
	level := slog.LevelInfo
	if outcome == report.Failed {
		level = slog.LevelError
	}
	m.Log.Log(context.Background(), level, item.String())
}

// finish records an item by whether it changed and its error.
func (m *Machine) finish(kind, name string, changed bool, err error, origin config.Position) {
	switch {
	case err != nil:
		m.done(kind, name, report.Failed, origin, explain(err))
	case changed:
		m.done(kind, name, report.Changed, origin, "")
	default:
		m.done(kind, name, report.Unchanged, origin, "")
	}
}

// explain adds what to do to errors whose reason is our layout.
func explain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	switch {
	case errors.Is(err, unix.EROFS):
		return text + " (this path is part of the image; " + layout.WritableWords + ")"
	case errors.Is(err, unix.ENOSPC):
		return text + " (see `df` and `kairos-agent status`)"
	}
	return text
}

func (m *Machine) hostname(c *config.Config) {
	if isSet(c.PreserveHostname) {
		return
	}
	name, origin := c.Hostname, c.Origins["hostname"]
	if name == "" {
		name = m.defaultHostname()
	}
	if name == "" {
		return
	}
	changed, err := m.setHostname(name, c)
	m.finish("hostname", name, changed, err, origin)
}

// defaultHostname is as in Kairos: kairos- and the first four digits of the
// machine id. An image that has a host name of its own keeps it.
func (m *Machine) defaultHostname() string {
	have, err := m.Root.Read("/etc/hostname")
	if err == nil && strings.TrimSpace(string(have)) != "" && strings.TrimSpace(string(have)) != "localhost" {
		return ""
	}
	id, err := m.Root.Read("/etc/machine-id")
	if err != nil || len(id) < 32 {
		return ""
	}
	return "kairos-" + string(id[:4])
}

func (m *Machine) setHostname(name string, c *config.Config) (changed bool, err error) {
	changed, err = m.Root.Replace("/etc/hostname", tree.File{Data: []byte(name + "\n"), Mode: 0o644})
	if err != nil {
		return changed, fmt.Errorf("writing the host name: %w", err)
	}
	changedHosts, err := m.setHosts(name, c)
	if err != nil {
		return changed, fmt.Errorf("writing the host name: %w", err)
	}
	if m.SetHostname != nil {
		if err := m.SetHostname(name); err != nil {
			return changed, fmt.Errorf("setting the host name: %w", err)
		}
	}
	return changed || changedHosts, nil
}

// setHosts puts the name into /etc/hosts, unless the config says no.
func (m *Machine) setHosts(name string, c *config.Config) (changed bool, err error) {
	if c.ManageHosts != nil && !*c.ManageHosts {
		return false, nil
	}
	hosts, err := m.Root.Read("/etc/hosts")
	if err != nil {
		hosts = []byte("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	}
	if short, _, _ := strings.Cut(c.FQDN, "."); short == name {
		name = c.FQDN
	}
	return m.Root.Replace("/etc/hosts", tree.File{Data: hostsWith(hosts, name), Mode: 0o644})
}

// hostsWith makes 127.0.1.1 stand for name, as Debian's installer does, so that
// programs such as sudo can resolve the host name without a network.
func hostsWith(hosts []byte, name string) []byte {
	short, _, qualified := strings.Cut(name, ".")
	line := "127.0.1.1 " + name
	if qualified {
		line += " " + short
	}
	var b strings.Builder
	found := false
	for old := range strings.Lines(string(hosts)) {
		if f := strings.Fields(old); len(f) == 0 || f[0] != "127.0.1.1" {
			b.WriteString(strings.TrimSuffix(old, "\n") + "\n")
			continue
		}
		if !found {
			b.WriteString(line + "\n")
		}
		found = true
	}
	if !found {
		b.WriteString(line + "\n")
	}
	return []byte(b.String())
}
