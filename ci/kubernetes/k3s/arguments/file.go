// SPDX-License-Identifier: Apache-2.0

package arguments

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const defaultFile = "/etc/rancher/k3s/config.yaml"

// A setting is one key of a configuration file with its values.
type setting struct {
	key    string
	values []string
	from   string // name of the file
}

// configFile finds the file by variable, then argument, then default. It says
// whether it was chosen, because a chosen file must exist.
func configFile(in Input) (string, bool) {
	if name := in.Getenv("K3S_CONFIG_FILE"); name != "" {
		return name, true
	}
	for i, arg := range in.Args {
		name, text, joined := strings.Cut(arg, "=")
		switch {
		case name != "--config" && name != "-c":
		case joined:
			return text, true
		case i+1 < len(in.Args):
			return in.Args[i+1], true
		}
	}
	return filepath.Join(in.Root, defaultFile), false
}

func readFiles(file string, chosen bool) ([]setting, error) {
	files, err := filesOf(file, chosen)
	if err != nil {
		return nil, err
	}
	var all []setting
	for _, name := range files {
		settings, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading configuration %s: %w", name, err)
		}
		all = merge(all, settings)
	}
	return all, nil
}

// filesOf gives the file and those of its folder NAME.d, by name.
func filesOf(file string, chosen bool) ([]string, error) {
	var files []string
	_, err := os.Stat(file)
	switch {
	case err == nil:
		files = append(files, file)
	case chosen || !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	entries, err := os.ReadDir(file + ".d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if ext := filepath.Ext(entry.Name()); !entry.IsDir() && (ext == ".yaml" || ext == ".yml") {
			files = append(files, filepath.Join(file+".d", entry.Name()))
		}
	}
	return files, nil
}

// merge puts the settings of a later file over those of earlier ones.
func merge(all, later []setting) []setting {
	for _, s := range later {
		i := slices.IndexFunc(all, func(old setting) bool { return plain(old.key) == plain(s.key) })
		switch {
		case i < 0:
			all = append(all, s)
		case s.key != plain(s.key):
			all[i].values = append(all[i].values, s.values...)
		default:
			all[i] = s
		}
	}
	return all
}

func plain(key string) string { return strings.TrimSuffix(key, "+") }

func readFile(name string) ([]setting, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil || document.Kind == 0 {
		return nil, err
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("it is not a mapping of keys")
	}
	var settings []setting
	for i := 0; i < len(root.Content); i += 2 {
		settings = append(settings, setting{key: root.Content[i].Value, values: valuesOf(root.Content[i+1]), from: filepath.Base(name)})
	}
	return settings, nil
}

func valuesOf(n *yaml.Node) []string {
	if n.Kind != yaml.SequenceNode {
		return []string{n.Value}
	}
	var list []string
	for _, item := range n.Content {
		list = append(list, item.Value)
	}
	return list
}

// fromFiles turns settings into arguments. A key that is no flag is skipped.
func (c Command) fromFiles(settings []setting, warn func(string)) []string {
	var args []string
	for _, s := range settings {
		f, ok := c.find(plain(s.key))
		if !ok {
			warn(fmt.Sprintf("Unknown flag --%s found in %s, skipping", plain(s.key), s.from))
			continue
		}
		for _, text := range s.values {
			args = append(args, fmt.Sprintf("--%s=%s", f.Name, text))
		}
	}
	return args
}
