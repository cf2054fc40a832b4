// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// firstboot applies the settings of the step with systemd-firstboot(1). If one of
// them differs it passes all, because systemd-firstboot writes whole files.
func (w *work) firstboot(ctx context.Context) {
	words := []string{"systemd-firstboot", "--force"}
	var missing []config.Setting
	for _, s := range w.step.SystemdFirstboot {
		words = append(words, "--"+s.Name+"="+s.Value.Text)
		switch have, err := w.setting(s.Name); {
		case err != nil:
			w.item(firstbootKind, s.Name, false, err, s.Value.Origin)
		case have == s.Value.Text:
			w.item(firstbootKind, s.Name+" "+s.Value.Text, false, nil, s.Value.Origin)
		default:
			missing = append(missing, s)
			w.noteSetting(s, have)
		}
	}
	if len(missing) == 0 {
		return
	}
	err := w.run(ctx, words...)
	if w.Dry() && !HasProgram(w.Root, words[0]) {
		err = fmt.Errorf("the program %s is not in the image", words[0])
	}
	for _, s := range missing {
		if err := errors.Join(err, w.noZone(s)); err != nil {
			w.item(firstbootKind, s.Name+" "+s.Value.Text, false, err, s.Value.Origin)
			continue
		}
		w.item(firstbootKind, s.Name+" "+s.Value.Text, true, nil, s.Value.Origin)
	}
}

// noZone is an error that names the time zone, if the image lacks it.
func (w *work) noZone(s config.Setting) error {
	if s.Name != "timezone" || w.Root.Exists(zones+s.Value.Text) {
		return nil
	}
	return fmt.Errorf("this image has no such time zone: there is no %s", zones+s.Value.Text)
}

const firstbootKind = "firstboot"

// noteSetting notes the change of a setting for a dry run.
func (w *work) noteSetting(s config.Setting, have string) {
	if w.Dry() {
		w.Root.Dry.Note(tree.Change{Path: settingFiles[s.Name].paths[0], Old: []byte(have + "\n"), New: []byte(s.Value.Text + "\n"), Mode: 0o644})
	}
}

// settingFiles are the files where systemd-firstboot stores a setting: a variable of
// the first file that has it, or the whole file. Debian 12 keeps the locale in a
// file of its own. systemd-firstboot does not write LC_MESSAGES if it equals LANG.
var settingFiles = map[string]struct {
	paths     []string
	variables []string // the first that is set counts
}{
	"locale":          {[]string{"/etc/locale.conf", "/etc/default/locale"}, []string{"LANG"}},
	"locale-messages": {[]string{"/etc/locale.conf", "/etc/default/locale"}, []string{"LC_MESSAGES", "LANG"}},
	"keymap":          {[]string{"/etc/vconsole.conf"}, []string{"KEYMAP"}},
	"hostname":        {[]string{"/etc/hostname"}, nil},
	"timezone":        {[]string{"/etc/localtime"}, nil},
}

// zones is the directory that the link /etc/localtime points into, see localtime(5).
const zones = "/usr/share/zoneinfo/"

// setting returns the current value of a setting, or empty.
func (w *work) setting(name string) (string, error) {
	f, ok := settingFiles[name]
	switch {
	case !ok:
		return "", fmt.Errorf("unknown setting %q", name)
	case name == "timezone":
		return w.timezone(f.paths[0])
	case f.variables == nil:
		return line(w.Root, f.paths[0]), nil
	}
	for _, path := range f.paths {
		have := keyValues(w.Root, path)
		for _, variable := range f.variables {
			if have[variable] != "" {
				return have[variable], nil
			}
		}
	}
	return "", nil
}

func (w *work) timezone(path string) (string, error) {
	target, err := w.Root.Readlink(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) {
		return "", nil // missing, or a file without a name
	}
	_, zone, _ := strings.Cut(filepath.Join("/etc", target), zones)
	return zone, err
}
