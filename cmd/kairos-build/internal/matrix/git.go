// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// A repository is the git repository around the current folder.
type repository struct {
	top    string // its folder
	prefix string // of the current folder in it: empty, or with a slash at its end
}

// openRepository finds the repository.
func openRepository(ctx context.Context) (*repository, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, badInput(errors.New("--changed-since asks git what changed, and there is no git in $PATH: install it"))
	}
	out, err := git(ctx, ".", "rev-parse", "--show-toplevel", "--show-prefix")
	if err != nil {
		return nil, badInput(fmt.Errorf("--changed-since needs a git repository: %w", err))
	}
	top, prefix, _ := strings.Cut(string(out), "\n")
	return &repository{top, strings.TrimSuffix(prefix, "\n")}, nil
}

// here is a path of the repository as one of the current folder, if it is below that.
func (r *repository) here(p string) (string, bool) { return strings.CutPrefix(p, r.prefix) }

// commit is the commit of a revision.
func (r *repository) commit(ctx context.Context, rev string) (string, error) {
	out, err := git(ctx, r.top, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil {
		return "", badInput(fmt.Errorf("--changed-since %q: this repository has no such revision: a shallow clone lacks all but the last: `git fetch --unshallow`, or in GitHub Actions `fetch-depth: 0`", rev))
	}
	return strings.TrimSpace(string(out)), nil
}

// at lists the files of a commit.
func (r *repository) at(ctx context.Context, commit string) (files, error) {
	out, err := git(ctx, r.top, "ls-tree", "-r", "-z", commit)
	if err != nil {
		return nil, fmt.Errorf("listing the files of %.12s: %w", commit, err)
	}
	all := files{}
	for entry := range strings.SplitSeq(string(out), "\x00") { // MODE TYPE DIGEST<tab>PATH
		if facts, p, ok := strings.Cut(entry, "\t"); ok {
			all[p] = facts
		}
	}
	return all, nil
}

// now lists the files of the work tree: those of the commit, with what git says of changes.
// Files that git ignores are left out.
func (r *repository) now(ctx context.Context, commit string, then files) (files, error) {
	changed, err := git(ctx, r.top, "diff", "--no-ext-diff", "--no-renames", "--name-only", "-z", commit)
	if err != nil {
		return nil, fmt.Errorf("comparing the files with %.12s: %w", commit, err)
	}
	fresh, err := git(ctx, r.top, "ls-files", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil, fmt.Errorf("listing the files that git does not know: %w", err)
	}
	all := maps.Clone(then)
	for p := range strings.SplitSeq(string(append(changed, fresh...)), "\x00") {
		if p == "" {
			continue
		}
		if err := all.read(r.top, p); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// read sets the digest of a file of the work tree. One that is gone is taken out.
func (f files) read(top, p string) error {
	name := filepath.Join(top, filepath.FromSlash(p))
	info, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		delete(f, p)
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // a link: git says that it changed
		target, err := os.Readlink(name)
		f[p] = info.Mode().String() + " " + target
		return err
	}
	data, err := os.ReadFile(name)
	f[p] = fmt.Sprintf("%s %x", info.Mode(), sha256.Sum256(data))
	return err
}

// content is the content of a file of the current folder at a commit; false: it has none.
func (r *repository) content(ctx context.Context, commit, file string) ([]byte, bool, error) {
	if filepath.IsAbs(file) {
		return nil, false, nil
	}
	spec := commit + ":" + path.Join(r.prefix, filepath.ToSlash(file))
	if _, err := git(ctx, r.top, "cat-file", "-e", spec); err != nil {
		return nil, false, nil
	}
	out, err := git(ctx, r.top, "cat-file", "blob", spec)
	return out, err == nil, err
}

// git runs git, and returns what it prints.
func git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, "git", args...)
	var out, talk bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = dir, &out, &talk
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(talk.String()))
	}
	return out.Bytes(), nil
}
