// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/rootfs"
)

// site adds what a flavor of one's own has: it copies files into the root, and then runs
// commands in it. What the framework needs must be as before.
func site(args []string) error {
	flags := flag.NewFlagSet("site", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	files := flags.String("files", "", "folder with the files, as they are in the root")
	commands := flags.String("commands", "", "folder with a file for each command of sh(1), in the order of their names")
	if err := flags.Parse(args); err != nil {
		return err
	}
	before, err := framework("/")
	if err != nil {
		return err
	}
	return changeRoot(time.Unix(*epoch, 0), func() error {
		if err := copyTree(*files, "/"); err != nil {
			return err
		}
		if err := runAll(*commands); err != nil {
			return err
		}
		if err := errors.Join(unharmed("/", before), checkLinks(*files, "/")); err != nil {
			return err
		}
		return chooseRoot("/") // the files may forbid a module, or allow it
	})
}

// runAll runs the commands in dir; there may be none.
func runAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, e := range entries {
		path := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "+ %s\n", strings.TrimSpace(string(text)))
		if err := run("/bin/sh", "-eu", path); err != nil {
			return fmt.Errorf("command %d of run (%q): %w; its output is above, and it has no network", i+1, firstLine(string(text)), err)
		}
	}
	return nil
}

func firstLine(text string) string {
	line, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		line += " …"
	}
	return line
}

// copyTree copies files and links from a folder into the root, and owns them to root. Folders
// that the root has stay as they are. The error names every path that cannot be there.
func copyTree(from, root string) error {
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if err := copyEntry(path, filepath.Join(root, rel), rel, e); err != nil {
			errs = append(errs, err)
			if e.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// copyEntry copies one file, link or folder to the path to, which is rel in the root.
func copyEntry(from, to, rel string, e fs.DirEntry) error {
	there, err := os.Lstat(to)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case isLeftover(rel):
		return fmt.Errorf("files: /%s is removed from every image, as are caches, logs, keys and identities of nodes: bring it to the nodes with the cloud-config", rel)
	case e.IsDir() && exists && there.IsDir():
		return nil
	case e.IsDir() && exists && there.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(to)
		return errors.Join(err, fmt.Errorf("files: /%s is a link to %s in the image: put what is in it in the folder that it leads to", rel, target))
	case e.IsDir() && exists:
		return fmt.Errorf("files: /%s is a file in the image, and cannot be a folder", rel)
	case e.IsDir():
		return os.Mkdir(to, 0o755)
	case exists && there.IsDir():
		return fmt.Errorf("files: /%s is a folder in the image, and cannot be replaced", rel)
	case exists:
		if err := os.Remove(to); err != nil {
			return err
		}
	}
	if e.Type() == fs.ModeSymlink {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	return copyWithMode(from, to)
}

// isLeftover tells whether tidy removes a path, which is relative to the root.
func isLeftover(rel string) bool {
	return slices.ContainsFunc(leftovers, func(pattern string) bool {
		for p := rel; p != "."; p = filepath.Dir(p) {
			if match, err := filepath.Match(pattern, p); match && err == nil {
				return true
			}
		}
		return false
	})
}

// copyWithMode copies a file with all bits of its mode.
func copyWithMode(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
}

// checkLinks finds links of the folder whose targets the finished root does not have. A
// target that a node makes, in memory or on a partition, may be missing.
func checkLinks(from, root string) error {
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type() != fs.ModeSymlink {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		full := target
		if !filepath.IsAbs(full) {
			full = filepath.Join("/", filepath.Dir(rel), target)
		}
		if _, err := os.Lstat(filepath.Join(root, full)); err != nil && layout.PlaceOf(filepath.Clean(full)) == layout.PlaceImage {
			errs = append(errs, fmt.Errorf("files: the link /%s leads to %s, which the image does not have", rel, target))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// framework describes the files that the framework needs: its own, and those below /boot.
func framework(root string) (map[string]string, error) {
	paths, err := rootfs.Own()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{"/boot", layout.ImageBoot} {
		below, err := filesBelow(root, dir)
		if err != nil {
			return nil, err
		}
		paths = append(paths, below...)
	}
	all := map[string]string{}
	for _, path := range paths {
		text, err := describe(filepath.Join(root, path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		all[path] = text
	}
	return all, nil
}

// filesBelow lists the files below a folder of the root, as absolute paths in it.
func filesBelow(root, dir string) (all []string, _ error) {
	return all, filepath.WalkDir(filepath.Join(root, dir), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		all = append(all, "/"+rel)
		return err
	})
}

// describe has the mode, the owner and the content of a file or link.
func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		target, err := os.Readlink(path)
		return "link " + target, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("BUG: no owner of %s", path)
	}
	return fmt.Sprintf("%v %d:%d %x", info.Mode(), stat.Uid, stat.Gid, sha256.Sum256(data)), nil
}

// unharmed checks that the framework's files are as before.
func unharmed(root string, before map[string]string) error {
	after, err := framework(root)
	if err != nil {
		return err
	}
	var changed []string
	for path, text := range before {
		if after[path] != text {
			changed = append(changed, path)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	slices.Sort(changed)
	return fmt.Errorf("files or commands changed %s, which a node needs as it was: leave it alone", strings.Join(changed, ", "))
}
