// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"strings"

	"github.com/kairos-build/kairos-build/framework/agent/tree"
	"github.com/kairos-build/kairos-build/framework/config"
)

// sudo writes the rules of u, or removes those of an earlier run.
func (m *Machine) sudo(ctx context.Context, u config.User) {
	path := sudoersFile(u.Name)
	if u.Sudo == nil && m.adding {
		return
	}
	if len(u.Sudo) == 0 {
		if changed, err := m.Root.Remove(path); changed || err != nil {
			m.finish("sudo", u.Name, changed, err, u.Origin)
		}
		return
	}
	changed, err := m.writeSudo(ctx, u, path)
	m.finish("sudo", u.Name, changed, err, u.Origin)
}

func (m *Machine) writeSudo(ctx context.Context, u config.User, path string) (changed bool, err error) {
	if !m.Root.Exists("/usr/bin/sudo") {
		return false, errors.New("sudo is not installed in this image; the rules are not written")
	}
	data := sudoers(u)
	if m.CheckSudoers != nil {
		if err := m.CheckSudoers(ctx, data); err != nil {
			return false, err
		}
	}
	return m.Root.Replace(path, tree.File{Data: data, Mode: 0o440})
}

// sudoersFile is the file of a user. sudo skips files with a dot in their
// name; a plus cannot stand in a user's name, so it is free to stand for it.
func sudoersFile(user string) string {
	return "/etc/sudoers.d/90-kairos-" + strings.ReplaceAll(user, ".", "+")
}

func sudoers(u config.User) []byte {
	var b strings.Builder
	b.WriteString("# From the cloud-config; written anew at every boot.\n")
	for _, rule := range u.Sudo {
		b.WriteString(u.Name + " " + rule + "\n")
	}
	return []byte(b.String())
}
