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

// firstboot asks systemd-firstboot(1) for the settings of the step, all of them
// when one is not so yet: it writes each of its files as a whole.
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

// noZone says that the image lacks a time zone, in words that say which.
func (w *work) noZone(s config.Setting) error {
	if s.Name != "timezone" || w.Root.Exists(zones+s.Value.Text) {
		return nil
	}
	return fmt.Errorf("this image has no such time zone: there is no %s", zones+s.Value.Text)
}

const firstbootKind = "firstboot"

// noteSetting tells a dry run what would change.
func (w *work) noteSetting(s config.Setting, have string) {
	if w.Dry() {
		w.Root.Dry.Note(tree.Change{Path: settingFiles[s.Name].paths[0], Old: []byte(have + "\n"), New: []byte(s.Value.Text + "\n"), Mode: 0o644})
	}
}

// settingFiles are where systemd-firstboot writes what it is told: a variable of
// the first file that there is, or the whole of it. Debian 12 has the locale in
// a place of its own. What is like LANG is not written for LC_MESSAGES.
var settingFiles = map[string]struct {
	paths     []string
	variables []string // the first that is set
}{
	"locale":          {[]string{"/etc/locale.conf", "/etc/default/locale"}, []string{"LANG"}},
	"locale-messages": {[]string{"/etc/locale.conf", "/etc/default/locale"}, []string{"LC_MESSAGES", "LANG"}},
	"keymap":          {[]string{"/etc/vconsole.conf"}, []string{"KEYMAP"}},
	"hostname":        {[]string{"/etc/hostname"}, nil},
	"timezone":        {[]string{"/etc/localtime"}, nil},
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
		return "", nil // there is none, or a file that says no name
	}
	_, zone, _ := strings.Cut(filepath.Join("/etc", target), zones)
	return zone, err
}
