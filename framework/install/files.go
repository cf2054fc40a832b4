// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// A File is a cloud-config that goes to the oem partition.
type File struct {
	From string // the file that it was
	Name string // in /oem
	Data []byte
}

// entries are files of the oem partition. They may hold secrets.
func entries(files []File) []ext4.Entry {
	list := make([]ext4.Entry, len(files))
	for i, f := range files {
		list[i] = ext4.Entry{Path: f.Name, Mode: 0o600, Data: f.Data}
	}
	return list
}

// imageDir has the configs that are part of every image: the new disk has them.
const imageDir = "/system/oem"

// Files are the config files that go along, without their key install: the installed
// system must not be installed again. Files of /oem keep their name, such as what a
// datasource gave: it replaces that file at each boot. The others are called 90_custom.yaml,
// 91_custom.yaml and so on, in their order, as in Kairos. Those of the image, and those that
// are no files, stay behind. read reads a file.
func Files(from []config.File, read func(name string) ([]byte, error)) ([]File, error) {
	var out []File
	var errs []error
	taken := map[string]bool{}
	for _, f := range from {
		if path.Dir(f.Name) == layout.MountOEM {
			taken[path.Base(f.Name)] = true
		}
	}
	for _, f := range from {
		if !f.OnDisk() || path.Dir(f.Name) == imageDir {
			continue
		}
		data, err := read(f.Name)
		if err == nil {
			data, err = WithoutInstall(data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
			continue
		}
		if data != nil {
			out = append(out, File{f.Name, nameOf(f.Name, taken), data})
		}
	}
	return out, errors.Join(errs...)
}

func nameOf(file string, taken map[string]bool) string {
	if path.Dir(file) == layout.MountOEM {
		return path.Base(file)
	}
	for n := 90; ; n++ {
		if name := fmt.Sprintf("%02d_custom.yaml", n); !taken[name] {
			taken[name] = true
			return name
		}
	}
}

// WithoutInstall removes the key install from a cloud-config. The rest stays as it is
// written, with its comments. The result is nil if nothing is left.
func WithoutInstall(data []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return data, nil
	}
	root := doc.Content[0]
	i := keyIndex(root)
	switch {
	case i < 0:
		return data, nil
	case len(root.Content) == 2:
		return nil, nil
	case root.Style&yaml.FlowStyle != 0:
		return reencoded(root, i)
	}
	return cut(data, root, i)
}

// keyIndex returns the place of the key install among the keys and values of a mapping.
func keyIndex(root *yaml.Node) int {
	for i := 0; i < len(root.Content); i += 2 {
		if root.Content[i].Value == config.InstallPath {
			return i
		}
	}
	return -1
}

// cut removes the lines of a key. Comments at the beginning of a line before the next key
// belong to that.
func cut(data []byte, root *yaml.Node, i int) ([]byte, error) {
	lines := slices.Collect(bytes.Lines(data))
	start, end := root.Content[i].Line-1, len(lines)
	if i+2 < len(root.Content) {
		end = root.Content[i+2].Line - 1
	}
	for end > start+1 && isComment(lines[end-1]) {
		end--
	}
	out := slices.Concat(slices.Concat(lines[:start]...), slices.Concat(lines[end:]...))
	return out, checkCut(out)
}

func isComment(line []byte) bool {
	return line[0] == '#' || len(bytes.TrimSpace(line)) == 0
}

// checkCut refuses a text that is no longer what it was: another key may refer to an anchor
// that is gone.
func checkCut(data []byte) error {
	var doc yaml.Node
	err := yaml.Unmarshal(data, &doc)
	if err == nil && len(doc.Content) > 0 && keyIndex(doc.Content[0]) >= 0 {
		err = errors.New("it is given twice")
	}
	if err != nil {
		return fmt.Errorf("the key install cannot be taken out of it: %w", err)
	}
	return nil
}

func reencoded(root *yaml.Node, i int) ([]byte, error) {
	rest := *root
	rest.Content = slices.Delete(slices.Clone(root.Content), i, i+2)
	data, err := yaml.Marshal(&rest)
	if err != nil {
		return nil, fmt.Errorf("the key install cannot be taken out of it: %w", err)
	}
	if head := "#cloud-config\n"; !strings.HasPrefix(string(data), head) {
		data = slices.Concat([]byte(head), data)
	}
	return data, checkCut(data)
}
