// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// An rpmPackage is what becomes a package: its files are in the folder Root.
type rpmPackage struct {
	Name, Epoch, Version, Release string
	Noarch                        bool
	Requires, Provides            []string
	Scriptlets                    map[string]string
	Root                          string
	essential                     bool
}

// An unpacker makes folders of packages of Debian.
type unpacker struct {
	*rpmPlan
	chosen *choice
	debs   []string // of chosen, in order
	dir    string   // gets a folder for each package
	exists map[string]bool
}

// unpack makes the new packages, sorted by name.
func (p *rpmPlan) unpack(ctx context.Context, c *choice, debs []string, dir string) ([]rpmPackage, error) {
	u := unpacker{rpmPlan: p, chosen: c, debs: debs, dir: dir, exists: map[string]bool{}}
	for _, l := range c.packages {
		if !slices.Contains(p.Drop, l.Name) {
			u.exists[l.Name] = true
		}
	}
	made := make([][]rpmPackage, len(c.packages))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // the files of a package are in memory
	for i, l := range c.packages {
		if _, part := p.Merge[l.Name]; part || !u.exists[l.Name] {
			continue
		}
		g.Go(func() (err error) {
			if slices.Contains(c.kernels, l.Name) {
				made[i], err = u.splitKernel(ctx, debs[i])
			} else {
				made[i], err = u.unpackOne(ctx, l.Name)
			}
			if err != nil {
				return fmt.Errorf("unpacking %s: %w", l.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	fresh, err := u.fresh()
	all := append(slices.Concat(made...), fresh...)
	slices.SortFunc(all, func(a, b rpmPackage) int { return strings.Compare(a.Name, b.Name) })
	u.requireEssential(all)
	return all, err
}

// unpackOne makes a package of a package of Debian and those that are merged into it.
func (u *unpacker) unpackOne(ctx context.Context, name string) ([]rpmPackage, error) {
	made := rpmPackage{Name: u.renamed(name), Root: filepath.Join(u.dir, u.renamed(name)), Scriptlets: u.Scriptlets[name]}
	t := tree{root: made.Root}
	if err := os.MkdirAll(made.Root, 0o755); err != nil {
		return nil, err
	}
	for i, l := range u.chosen.packages {
		if l.Name != name && u.Merge[l.Name] != name {
			continue
		}
		c, err := readControl(ctx, u.debs[i])
		if err != nil {
			return nil, err
		}
		if l.Name == name {
			u.describe(&made, c.text)
		}
		if err := each(ctx, u.debs[i], "--fsys-tarfile", func(f file) error { return u.file(t, f) }); err != nil {
			return nil, err
		}
	}
	return []rpmPackage{made}, u.complete(t, name)
}

// file adds a file of Debian: at its new path, patched.
func (u *unpacker) file(t tree, f file) (err error) {
	at := "/" + path.Clean(f.header.Name)
	if skipped(at) {
		return nil
	}
	if f.data, err = u.patched(at, f.data); err != nil {
		return err
	}
	to := u.moved(at)
	if to == "" {
		return nil
	}
	f.header.Name = to
	if f.header.Typeflag == tar.TypeLink {
		f.header.Linkname = u.moved("/" + path.Clean(f.header.Linkname))
	}
	return t.add(f)
}

// skipped tells whether nothing on a node needs a file.
func skipped(at string) bool {
	return slices.ContainsFunc([]string{"/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/lintian/", "/usr/share/bug/", "/etc/init.d/"},
		func(dir string) bool { return strings.HasPrefix(at, dir) })
}

// complete adds what a maintainer script of Debian makes.
func (u *unpacker) complete(t tree, name string) error {
	for _, dir := range u.Dirs[name] {
		if err := t.add(file{header: &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}}); err != nil {
			return err
		}
	}
	for _, to := range slices.Sorted(maps.Keys(u.Copies[name])) {
		data, err := os.ReadFile(filepath.Join(t.root, u.Copies[name][to]))
		if err == nil {
			err = t.text(to, string(data))
		}
		if err != nil {
			return err
		}
	}
	return t.texts(u.Files[name], u.Links[name])
}

// describe fills in what the control file says.
func (u *unpacker) describe(made *rpmPackage, control string) {
	name := field(control, "Package")
	made.Epoch, made.Version, made.Release = versionOf(field(control, "Version"))
	made.Noarch = field(control, "Architecture") == "all"
	made.essential = field(control, "Essential") == "yes"
	for _, kind := range []string{"Pre-Depends", "Depends"} {
		made.Requires = append(made.Requires, u.requirements(field(control, kind))...)
	}
	made.Requires = append(made.Requires, u.Requires[name]...)
	slices.Sort(made.Requires)
	made.Requires = slices.Compact(made.Requires)
	made.Provides = u.Provides[name]
	for name := range strings.SplitSeq(field(control, "Provides"), ",") {
		if name = bare(name); name != "" {
			made.Provides = append(made.Provides, name)
		}
	}
}

// versionOf takes the version of a package of Debian apart.
func versionOf(debian string) (epoch, version, release string) {
	if e, rest, ok := strings.Cut(debian, ":"); ok {
		epoch, debian = e, rest
	}
	version, release = debian, "1"
	if at := strings.LastIndexByte(debian, '-'); at >= 0 {
		version, release = debian[:at], debian[at+1:]
	}
	return epoch, strings.ReplaceAll(version, "-", "."), release
}

// requirements translates a relation of Debian, without versions. Alternatives that are not
// there are left out: one that is there is what the solver must find.
func (u *unpacker) requirements(relation string) (all []string) {
	for group := range strings.SplitSeq(relation, ",") {
		var choices []string
		for a := range strings.SplitSeq(group, "|") {
			if name := bare(a); u.exists[name] {
				choices = append(choices, u.renamed(name))
			}
		}
		switch len(choices) {
		case 0:
		case 1:
			all = append(all, choices[0])
		default:
			all = append(all, "("+strings.Join(choices, " or ")+")")
		}
	}
	return all
}

// bare is the name in a relation, without version and architecture.
func bare(relation string) string {
	return regexp.MustCompile(`^[a-z0-9.+-]*`).FindString(strings.TrimSpace(relation))
}

// fresh makes the packages that Debian does not have.
func (u *unpacker) fresh() (all []rpmPackage, _ error) {
	for _, name := range slices.Sorted(maps.Keys(u.New)) {
		n := u.New[name]
		made := rpmPackage{Name: name, Version: n.Version, Release: "1", Noarch: true, Requires: slices.Clone(n.Requires), Root: filepath.Join(u.dir, name)}
		if made.Version == "" {
			made.Version = "1"
		}
		if err := os.MkdirAll(made.Root, 0o755); err != nil {
			return nil, err
		}
		if err := (tree{root: made.Root}).texts(n.Files, n.Links); err != nil {
			return nil, err
		}
		all = append(all, made)
	}
	return all, nil
}

// requireEssential lets one package require those that no package of Debian names, since
// they are always there.
func (u *unpacker) requireEssential(all []rpmPackage) {
	at := slices.IndexFunc(all, func(p rpmPackage) bool { return p.Name == u.Essential })
	for _, p := range all {
		if at >= 0 && p.essential && p.Name != u.Essential {
			all[at].Requires = append(all[at].Requires, p.Name)
		}
	}
}
