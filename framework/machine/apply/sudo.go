// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// sudo writes the rules of u, or removes those of an earlier run. If u has no key
// sudo, the rules of a step stay: a step of the initramfs stage runs before users.
func (m *Machine) sudo(ctx context.Context, u config.User) {
	path := sudoersFile(u.Name)
	if u.Sudo == nil && (m.adding || m.fromStep(path)) {
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
	data := m.sudoers(u)
	if m.CheckSudoers != nil {
		if err := m.CheckSudoers(ctx, data); err != nil {
			return false, err
		}
	}
	return m.Root.Replace(path, tree.File{Data: data, Mode: 0o440})
}

// sudoersFile is the file of a user. sudo skips files with a dot in their name,
// so a plus, which no user name contains, stands for the dot.
func sudoersFile(user string) string {
	return "/etc/sudoers.d/90-kairos-" + strings.ReplaceAll(user, ".", "+")
}

// The first line of a file of rules tells whether users or a step wrote it.
const (
	rulesOfUsers = "# From the cloud-config; written anew at every boot.\n"
	rulesOfStep  = "# From a step of the cloud-config; written anew at every boot.\n"
)

func (m *Machine) fromStep(path string) bool {
	data, err := m.Root.Read(path)
	return err == nil && strings.HasPrefix(string(data), rulesOfStep)
}

func (m *Machine) sudoers(u config.User) []byte {
	var b strings.Builder
	if m.adding {
		b.WriteString(rulesOfStep)
	} else {
		b.WriteString(rulesOfUsers)
	}
	for _, rule := range u.Sudo {
		b.WriteString(u.Name + " " + rule + "\n")
	}
	return []byte(b.String())
}
