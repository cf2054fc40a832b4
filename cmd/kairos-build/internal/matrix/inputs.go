// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/flavors"
)

// ownModule begins the go.mod of the project itself: there, the recipes and the programs of
// the nodes are inputs of every image. Elsewhere they are inside this program.
const ownModule = "module github.com/kairos-build/kairos-build\n"

// since keeps the cells whose inputs differ from those of a revision, and says which.
func (s *Selection) since(ctx context.Context, m *flavors.Matrix, rev string) error {
	r, err := openRepository(ctx)
	if err != nil {
		return err
	}
	commit, err := r.commit(ctx, rev)
	if err != nil {
		return err
	}
	then, err := r.at(ctx, commit)
	if err != nil {
		return err
	}
	now, err := r.now(ctx, commit, then)
	if err != nil {
		return err
	}
	before, err := cellsAt(ctx, r, commit, m.File())
	if err != nil {
		return err
	}
	own := isOwn()
	all := len(s.Cells)
	kept := []Cell{}
	for _, c := range s.Cells {
		if c.compare(r, m, then, now, own); !before[c.Name] {
			c.Reasons = append(c.Reasons, "matrix: new in "+m.File())
		}
		if len(c.Reasons) > 0 {
			kept = append(kept, c)
		}
	}
	if s.Cells = kept; len(kept) == 0 {
		s.Why = fmt.Sprintf("no input of the %d selected images differs from %s (%.12s): neither flavors, recipes, programs of the node, locks nor %s", all, rev, commit, m.File())
	}
	return nil
}

// compare sets the inputs of a cell, and the reasons to build it.
func (c *Cell) compare(r *repository, m *flavors.Matrix, then, now files, own bool) {
	c.Inputs = map[string]string{}
	for _, in := range inputsOf(m.Open(c.Cell), c.Flavor, own) {
		in := in.below(r)
		c.Inputs[in.name] = now.digest(in.has)
		if then.digest(in.has) != c.Inputs[in.name] {
			c.Reasons = append(c.Reasons, in.name+": "+then.differs(now, in.has))
		}
	}
}

// cellsAt are the names of the cells that the matrix had at a commit. A matrix that was not
// there, or cannot be read, had none.
func cellsAt(ctx context.Context, r *repository, commit, file string) (map[string]bool, error) {
	names := map[string]bool{}
	data, ok, err := r.content(ctx, commit, file)
	if err != nil || !ok {
		return names, err
	}
	m, err := flavors.ParseMatrix(file, data)
	if err != nil {
		return names, nil
	}
	for _, c := range m.Cells() {
		names[m.Name(c)] = true
	}
	return names, nil
}

// isOwn tells whether the current folder is the project itself.
func isOwn() bool {
	f, err := os.Open("go.mod")
	if err != nil {
		return false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<10))
	return err == nil && strings.Contains(string(data), ownModule)
}

// An input is a named set of files.
type input struct {
	name string
	has  func(path string) bool
}

// below makes an input of paths of the current folder one of paths of the repository.
func (i input) below(r *repository) input {
	has := i.has
	return input{i.name, func(p string) bool {
		rel, ok := r.here(p)
		return ok && has(rel)
	}}
}

// inputsOf are what an image of a flavor is made from.
func inputsOf(f *flavors.Flavor, ref string, own bool) []input {
	lock := clean(flavors.LockFile(ref))
	list := []input{
		{"flavor", isFlavor(f)},
		{"lock", func(p string) bool { return p == lock }},
	}
	if own {
		list = append(list, input{"recipe", isRecipe}, input{"payload", isPayload})
	}
	return list
}

// isFlavor tells which files a flavor is made of: its own, those that it extends, their
// keyrings, overlays and cloud-configs.
func isFlavor(f *flavors.Flavor) func(string) bool {
	var exact, folders []string
	for _, s := range f.Sources() {
		exact = append(exact, clean(s.File))
		dir := filepath.Dir(s.File) // its folder files may have been there before
		folders = append(folders, clean(filepath.Join(dir, f.Base.Archive.Keyring)), clean(filepath.Join(dir, "files")))
	}
	for _, file := range f.Default.CloudConfigs {
		exact = append(exact, clean(file))
	}
	for _, o := range f.Added.Overlays {
		folders = append(folders, clean(o.Dir))
	}
	folders = append(folders, "flavors/keys/"+f.Base.Archive.Keyring)
	return func(p string) bool {
		return slices.Contains(exact, p) || slices.ContainsFunc(folders, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
	}
}

func clean(p string) string { return filepath.ToSlash(filepath.Clean(p)) }

// isRecipe tells which files of the project say how images are made.
func isRecipe(p string) bool {
	return isCode(p) && (under(p, "recipes") || under(p, "cmd/kairos-build") || path.Dir(p) == "flavors") || isModule(p)
}

// isPayload tells which files of the project end up on nodes.
func isPayload(p string) bool {
	return isCode(p) && (under(p, "framework") || under(p, "signing")) || isModule(p) || p == "Makefile"
}

func isModule(p string) bool { return p == "go.mod" || p == "go.sum" }

func under(p, dir string) bool { return strings.HasPrefix(p, dir+"/") }

// isCode leaves out tests and what they read.
func isCode(p string) bool {
	return !strings.HasSuffix(p, "_test.go") && !strings.Contains(p, "/testdata/")
}

// files are the files of a repository: mode and digest, by their paths.
type files map[string]string

// digest is the digest of some of the files.
func (f files) digest(has func(string) bool) string {
	h := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(f)) {
		if has(p) {
			fmt.Fprintf(h, "%s\x00%s\x00", p, f[p])
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// differs names the first of the files that differ, and how many others do.
func (f files) differs(now files, has func(string) bool) string {
	var changed []string
	both := maps.Clone(f)
	maps.Copy(both, now)
	for _, p := range slices.Sorted(maps.Keys(both)) {
		if has(p) && f[p] != now[p] {
			changed = append(changed, p)
		}
	}
	if len(changed) == 1 {
		return changed[0]
	}
	return fmt.Sprintf("%s and %d more", changed[0], len(changed)-1)
}
