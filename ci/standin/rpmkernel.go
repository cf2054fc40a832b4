// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// splitKernel makes the packages of a kernel, whose files are all with its modules.
func (u *unpacker) splitKernel(ctx context.Context, deb string) ([]rpmPackage, error) {
	c, err := readControl(ctx, deb)
	if err != nil {
		return nil, err
	}
	version, ok := strings.CutPrefix(field(c.text, "Package"), imagePart)
	if !ok {
		return nil, fmt.Errorf("its name is %q, want %sVERSION", field(c.text, "Package"), imagePart)
	}
	k := rpmKernelParts{plan: u.Kernel, version: version, trees: map[string]tree{}}
	var all []rpmPackage
	for _, part := range u.Kernel.Packages {
		made := rpmPackage{Name: part.Name, Requires: slices.Clone(part.Requires), Root: filepath.Join(u.dir, part.Name)}
		made.Epoch, made.Version, made.Release = versionOf(field(c.text, "Version"))
		if err := os.MkdirAll(made.Root, 0o755); err != nil {
			return nil, err
		}
		k.trees[part.Name] = tree{made.Root}
		all = append(all, made)
	}
	return all, each(ctx, deb, "--fsys-tarfile", k.add)
}

// rpmKernelParts is a kernel that is being split.
type rpmKernelParts struct {
	plan    rpmKernel
	version string
	trees   map[string]tree // by package
}

// inModules is the path of a file of Debian's kernel below usr/lib/modules/VERSION; empty: it
// is no part of a kernel here.
func (k rpmKernelParts) inModules(at string) string {
	if name, ok := strings.CutPrefix(at, "/boot/"); ok {
		return strings.TrimSuffix(name, "-"+k.version)
	}
	name, _ := strings.CutPrefix(strings.TrimPrefix(at, "/usr"), "/lib/modules/"+k.version+"/")
	if strings.HasPrefix(name, "/") {
		return ""
	}
	return name
}

// add adds a file to the package that it belongs to.
func (k rpmKernelParts) add(f file) (err error) {
	name := k.inModules("/" + path.Clean(f.header.Name))
	if name == "" || f.header.Typeflag == tar.TypeDir || begins(name, k.plan.Drop) {
		return nil
	}
	if name == "config" {
		f.data = k.config(f.data)
	}
	if strings.HasSuffix(name, ".ko.xz") && k.plan.Suffix == ".zst" {
		if f.data, err = recompress(f.data); err != nil {
			return err
		}
		name = strings.TrimSuffix(name, ".xz") + ".zst"
	}
	f.header.Name = path.Join("/usr/lib/modules", k.version, name)
	for _, part := range k.plan.Packages {
		if begins(name, part.Has) {
			return k.trees[part.Name].add(f)
		}
	}
	return fmt.Errorf("no package of the kernel has %s", name)
}

func begins(name string, with []string) bool {
	return slices.ContainsFunc(with, func(begin string) bool { return strings.HasPrefix(name, begin) })
}

// config is the config of the kernel with other options.
func (k rpmKernelParts) config(data []byte) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		option, _, _ := strings.Cut(line, "=")
		switch value, differs := k.plan.Config[option]; {
		case !differs:
			out.WriteString(line)
		case value == "n":
			fmt.Fprintf(&out, "# %s is not set\n", option)
		default:
			fmt.Fprintf(&out, "%s=%s\n", option, value)
		}
	}
	return []byte(out.String())
}
