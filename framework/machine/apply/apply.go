// SPDX-License-Identifier: Apache-2.0

// Package apply brings a machine into the state that its config describes: host
// name, users, files, SSH host keys. A second run changes nothing. A failure of
// one item does not stop the others; the report has an outcome for each.
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
	// SetHostname sets the kernel's host name; nil: only the files are written.
	SetHostname func(name string) error
	// Keys resolves key sources such as github:NAME; nil: an entry that names
	// a source is a failure.
	Keys *sshkeys.Store
	// CheckSudoers returns an error for invalid content of a sudoers file;
	// nil: nothing is checked.
	CheckSudoers func(ctx context.Context, data []byte) error
	// ReloadUnits makes systemd read changed units; nil: no reload.
	ReloadUnits func(ctx context.Context) error

	items  []report.Item
	reload bool // some unit changed
	adding bool // keys and rules are added to the existing ones
}

// Apply applies c and returns the outcomes in order.
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

// ApplyStep applies the users, files and host name of one step of a stage. The
// effects of the rest of the config stay: new keys are added to a user's existing
// keys, and sudo rules that the step does not name are left alone.
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

// finish records an item as failed, changed or unchanged.
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

// explain adds advice to errors that our disk layout causes.
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

// defaultHostname follows Kairos: kairos- and the first four digits of the
// machine id. It is empty if the image has its own host name, other than localhost.
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

// setHosts puts the name into /etc/hosts, unless manage_etc_hosts is false.
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

// hostsWith maps 127.0.1.1 to name, as Debian's installer does, so that programs
// such as sudo can resolve the host name without a network.
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
