// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/folder"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// unitDirs are the folders of units; the first with a unit wins, see systemd.unit(5).
var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}

// unitSuffixes are the types of units that come from files only.
var unitSuffixes = []string{".service", ".socket", ".timer", ".path", ".target"}

// madeSuffixes are types of units that systemd also makes by itself, from
// devices, mounts and slices.
var madeSuffixes = []string{".device", ".mount", ".automount", ".swap", ".slice", ".scope"}

// unitFile is the path of a unit's file, or empty. An instance without a file of its
// own has the file of its template.
func unitFile(root tree.Root, unit string) string {
	names := []string{unitName(unit)}
	if prefix, rest, ok := strings.Cut(names[0], "@"); ok && !strings.HasPrefix(rest, ".") {
		names = append(names, prefix+"@"+path.Ext(rest))
	}
	for _, name := range names {
		for _, dir := range unitDirs {
			if p := dir + "/" + name; root.Exists(p) || isMasked(root, p) {
				return p
			}
		}
	}
	return ""
}

// unitName adds the type that systemctl assumes for a name without one.
func unitName(unit string) string {
	ext := path.Ext(unit)
	if slices.Contains(unitSuffixes, ext) || slices.Contains(madeSuffixes, ext) {
		return unit
	}
	return unit + ".service"
}

func isMasked(root tree.Root, p string) bool {
	target, err := root.Readlink(p)
	return err == nil && target == "/dev/null"
}

// unitState is the answer of `systemctl is-enabled` on a node that was never changed.
// For any other ask it is "inactive": no unit is active while a simulated node starts.
func (s *simulation) unitState(ask, unit string) string {
	file := unitFile(s.root, unit)
	switch {
	case ask != "is-enabled":
		return "inactive"
	case file == "":
		return "not-found"
	case isMasked(s.root, file):
		return "masked"
	case s.isWanted(unitName(unit)):
		return "enabled"
	}
	text, err := s.root.Read(file)
	if err == nil && !strings.Contains("\n"+string(text), "\n[Install]") {
		return "static"
	}
	return "disabled"
}

// isWanted reports whether a link in /etc/systemd/system enables the unit.
func (s *simulation) isWanted(unit string) bool {
	for _, pattern := range []string{"*.wants", "*.requires"} {
		dirs, err := folder.Glob(filepath.Join(s.root.Dir, unitDirs[0]), pattern)
		if err == nil && slices.ContainsFunc(dirs, func(dir string) bool { return isThere(filepath.Join(dir, unit)) }) {
			return true
		}
	}
	return false
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// units are the names of the units of the image, for suggestions.
func (s *simulation) units() []string {
	var names []string
	for _, dir := range unitDirs {
		entries, err := s.root.List(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if slices.Contains(unitSuffixes, path.Ext(e.Name())) {
				names = append(names, e.Name())
			}
		}
	}
	return names
}

// modules are those of the image's kernel: names as in /proc/modules, and
// patterns of aliases.
type modules struct {
	names   []string
	aliases []string
}

// readModules reads the lists that depmod(8) made. If there are none, the error is
// fs.ErrNotExist.
func readModules(root tree.Root) (m modules, err error) {
	lists, err := folder.Glob(root.Dir, "usr/lib/modules/*/modules.dep")
	if err != nil || len(lists) == 0 {
		return m, errors.Join(err, fs.ErrNotExist)
	}
	for _, list := range lists {
		for _, name := range []string{"modules.dep", "modules.builtin"} {
			lines, err := hostLines(filepath.Join(filepath.Dir(list), name))
			if err != nil {
				return m, err
			}
			for _, line := range lines {
				file, _, _ := strings.Cut(line, ":")
				m.names = append(m.names, moduleName(file))
			}
		}
		lines, err := hostLines(filepath.Join(filepath.Dir(list), "modules.alias"))
		if err != nil {
			return m, err
		}
		for _, line := range lines {
			if words := strings.Fields(line); len(words) == 3 && words[0] == "alias" {
				m.aliases = append(m.aliases, words[1])
			}
		}
	}
	return m, nil
}

func hostLines(host string) ([]string, error) {
	data, err := os.ReadFile(host)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' }), err
}

// moduleName is the name of the module in a file such as kernel/fs/ext4/ext4.ko.xz.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return underscored(name)
}

func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

func (m modules) has(name string) bool {
	if slices.Contains(m.names, underscored(name)) {
		return true
	}
	return slices.ContainsFunc(m.aliases, func(pattern string) bool {
		ok, err := path.Match(underscored(pattern), underscored(name))
		return ok && err == nil
	})
}

// transparent are the kinds of items for which the dry run shows all effects. After an
// item of another kind (a command, or a kind added to the engine later), the tree of a
// node may hold more than the tree of the simulation.
var transparent = []string{
	"accounts", "directory", "dns", "download", "entity", "environment", "file", "group", "home", "hostkey", "hostname",
	"keys", "module", "override", "sshd", "sudo", "sysctl", "systemctl", "systemd", "timesyncd", "user",
}

func opaque(items []report.Item) bool {
	return slices.ContainsFunc(items, func(i report.Item) bool { return !slices.Contains(transparent, i.Kind) })
}
