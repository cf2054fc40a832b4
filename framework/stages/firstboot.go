// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kairos-build/kairos-build/framework/agent/tree"
)

// firstboot asks systemd-firstboot(1) for the settings that are not so yet.
func (w *work) firstboot(ctx context.Context) {
	for _, s := range w.step.SystemdFirstboot {
		name := s.Name + " " + s.Value.Text
		have, err := w.setting(s.Name)
		if err != nil || have == s.Value.Text {
			w.item("firstboot", name, false, err, s.Value.Origin)
			continue
		}
		if w.Dry() {
			path := settingFiles[s.Name].path
			w.Root.Dry.Note(tree.Change{Path: path, Old: []byte(have + "\n"), New: []byte(s.Value.Text + "\n"), Mode: 0o644})
		}
		err = w.run(ctx, "systemd-firstboot", "--force", "--"+s.Name+"="+s.Value.Text)
		w.item("firstboot", name, true, err, s.Value.Origin)
	}
}

// settingFiles are where systemd-firstboot writes what it is told: a variable of
// a file, or the whole of it.
var settingFiles = map[string]struct{ path, variable string }{
	"locale":          {"/etc/locale.conf", "LANG"},
	"locale-messages": {"/etc/locale.conf", "LC_MESSAGES"},
	"keymap":          {"/etc/vconsole.conf", "KEYMAP"},
	"hostname":        {"/etc/hostname", ""},
	"timezone":        {"/etc/localtime", ""},
}

// zones is what the link /etc/localtime leads to, see localtime(5).
const zones = "/usr/share/zoneinfo/"

// setting is what a setting is now, or empty.
func (w *work) setting(name string) (string, error) {
	f, ok := settingFiles[name]
	switch {
	case !ok:
		return "", fmt.Errorf("unknown setting %q", name)
	case name == "timezone":
		return w.timezone(f.path)
	case f.variable != "":
		return keyValues(w.Root, f.path)[f.variable], nil
	}
	return line(w.Root, f.path), nil
}

func (w *work) timezone(path string) (string, error) {
	host, err := w.Root.Resolve(path)
	if err != nil {
		return "", err
	}
	target, err := os.Readlink(host)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) {
		return "", nil // there is none, or a file that says no name
	}
	_, zone, _ := strings.Cut(filepath.Join("/etc", target), zones)
	return zone, err
}
