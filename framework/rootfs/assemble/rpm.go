// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// rpmDatabase is where rpm's database is in every image: /var is not part of an image.
	rpmDatabase = "usr/lib/sysimage/rpm"
	// oldDatabase is where it is in some distributions.
	oldDatabase = "var/lib/rpm"
	// rpmMacros tells the rpm of the image where its database is.
	rpmMacros = "usr/lib/rpm/macros.d/macros.kairos"
)

// A toolbox is a mounted root with rpm. This root may be empty, and may be of another
// distribution: so its loader starts its rpm, with its libraries and its configuration.
// What rpm installs goes into this root, and what it starts, it starts in this root.
type toolbox struct {
	dir    string
	format string // of the database: sqlite or ndb
}

// flags adds the flags of a verb that needs rpm.
func (t *toolbox) flags(flags *flag.FlagSet) {
	flags.StringVar(&t.dir, "toolbox", "", "root with rpm")
	flags.StringVar(&t.format, "database", "sqlite", "format of rpm's database: sqlite or ndb")
}

// rpm runs the rpm of the toolbox with a database. Signatures were checked before the graph
// ran; it checks digests again.
func (t *toolbox) rpm(database string, args ...string) error {
	loaders, err := filepath.Glob(filepath.Join(t.dir, "usr/lib*/ld-linux*.so*"))
	libraries, librariesErr := filepath.Glob(filepath.Join(t.dir, "usr/lib/*-linux-gnu"))
	if err := errors.Join(err, librariesErr); err != nil {
		return err
	}
	if len(loaders) == 0 || len(libraries) == 0 {
		return fmt.Errorf("%s has no loader or no libraries: it is no root with rpm", t.dir)
	}
	if err := os.Setenv("RPM_CONFIGDIR", filepath.Join(t.dir, "usr/lib/rpm")); err != nil {
		return err
	}
	own := []string{
		"--library-path", libraries[0], filepath.Join(t.dir, "usr/bin/rpm"),
		"--define", "_dbpath /" + database, "--define", "_db_backend " + t.format,
		"--define", "_pkgverify_level digest", "--define", "__plugindir /none", "--nosignature",
		// Packages have these, too, where a step has mounts.
		"--define", "_netsharedpath /proc:/sys:/dev:/etc/hosts:/etc/resolv.conf",
	}
	return run(loaders[0], append(own, args...)...)
}

// rpmInstall installs the packages in --rpms, in the order that rpm finds.
func rpmInstall(args []string) error {
	var box toolbox
	flags := flag.NewFlagSet("rpm-install", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	from := flags.String("rpms", "", "folder with the packages")
	box.flags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	packages, err := rpmsIn(*from)
	if err != nil {
		return err
	}
	return box.change(time.Unix(*epoch, 0), func() error {
		if len(packages) == 0 { // a base image has them all
			return nil
		}
		return box.rpm(rpmDatabase, append([]string{"--upgrade", "--oldpackage", "--replacepkgs"}, packages...)...)
	})
}

// rpmAdopt moves the database of an image to its place.
func rpmAdopt(args []string) error {
	var box toolbox
	flags := flag.NewFlagSet("rpm-adopt", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	box.flags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	return box.change(time.Unix(*epoch, 0), func() error { return nil })
}

// rpmsIn lists the packages in a folder, sorted.
func rpmsIn(dirs ...string) (all []string, _ error) {
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// change runs change on a root whose database is in its place, while scriptlets know that no
// systemd runs, and tidies up.
func (t *toolbox) change(epoch time.Time, change func() error) error {
	if err := placeDatabase("/"); err != nil {
		return fmt.Errorf("moving the package database: %w", err)
	}
	if err := os.Setenv("SYSTEMD_OFFLINE", "1"); err != nil {
		return err
	}
	if err := errors.Join(change(), placeDatabase("/")); err != nil {
		return err
	}
	if err := closeDatabase("/"); err != nil {
		return err
	}
	return tidy("/", epoch)
}

// placeDatabase moves the database of distributions that have it in /var to /usr, and lets the
// old place lead to it. It tells the rpm of the image, if it has one.
func placeDatabase(root string) error {
	to, from := filepath.Join(root, rpmDatabase), filepath.Join(root, oldDatabase)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if info, statErr := os.Lstat(from); statErr != nil || info.Mode().Type() == fs.ModeSymlink || err != nil {
		return tellRPM(root)
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	if err := os.Remove(from); err != nil {
		return err
	}
	return errors.Join(os.Symlink(filepath.Join("../..", rpmDatabase), from), tellRPM(root))
}

// tellRPM writes the macro of the database's place, unless that is the default of the image's
// rpm.
func tellRPM(root string) error {
	macros, err := os.ReadFile(filepath.Join(root, "usr/lib/rpm/macros"))
	if errors.Is(err, fs.ErrNotExist) || strings.Contains(string(macros), "/"+rpmDatabase) {
		return nil
	}
	path := filepath.Join(root, rpmMacros)
	return errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("%_dbpath /"+rpmDatabase+"\n"), 0o644))
}

// closeDatabase removes what an open database has beside it. A journal with something in it
// means that a step ended in the middle.
func closeDatabase(root string) error {
	journal := filepath.Join(root, rpmDatabase, "rpmdb.sqlite-wal")
	if info, err := os.Stat(journal); err == nil && info.Size() > 0 {
		return fmt.Errorf("the journal %s is not empty: rpm did not close its database", journal)
	}
	for _, name := range []string{"rpmdb.sqlite-wal", "rpmdb.sqlite-shm", ".rpm.lock"} {
		if err := os.Remove(filepath.Join(root, rpmDatabase, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unusedDatabase is a database that nothing reads.
const unusedDatabase = "kairos-unused"

// unpack writes the files of packages to a root, without scriptlets and without their
// dependencies.
func (t *toolbox) unpack(from, root string) error {
	packages, err := rpmsIn(from)
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return fmt.Errorf("no packages in %s: %w", from, fs.ErrNotExist)
	}
	args := []string{"--install", "--root", root, "--nodeps", "--noscripts", "--notriggers", "--replacefiles"}
	if err := t.rpm(unusedDatabase, append(args, packages...)...); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(root, unusedDatabase))
}

// registerRPMs adds packages that were unpacked to the database, without their dependencies,
// which this image replaces in other ways.
func (t *toolbox) registerRPMs(dirs []string) error {
	packages, err := rpmsIn(dirs...)
	if err != nil || len(packages) == 0 {
		return err
	}
	args := []string{"--install", "--justdb", "--nodeps", "--noscripts", "--notriggers", "--replacepkgs", "--replacefiles"}
	return errors.Join(t.rpm(rpmDatabase, append(args, packages...)...), closeDatabase("/"))
}

// A list of folders is a flag that may be repeated.
type folders []string

func (f *folders) String() string { return strings.Join(*f, " ") }

// Set adds a folder.
func (f *folders) Set(dir string) error {
	*f = append(slices.Clone(*f), dir)
	return nil
}

// solve lets dnf or zypper choose packages, by the program in --request. It has no network.
func solve(args []string) error {
	flags := flag.NewFlagSet("solve", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	request := flags.String("request", "", "folder with solve.py, request.json and repositories")
	out := flags.String("out", "", "file to write the answer to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(*request, name) }
	if err := run("python3", in("solve.py"), in("request.json"), in("repositories"), *out); err != nil {
		return err
	}
	return clamp(filepath.Dir(*out), time.Unix(*epoch, 0))
}
