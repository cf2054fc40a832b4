// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// kernel unpacks the kernel packages in --debs to --out: the modules with
// their index below usr/lib/modules, the kernel in boot, and the packages'
// own records in recordDir. No maintainer script runs: each would build an
// initrd, and ours is packed from the modules in a step of its own.
func kernel(args []string) error {
	flags := flag.NewFlagSet("kernel", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	debs := flags.String("debs", "/debs", "folder with the kernel packages")
	out := flags.String("out", "/out", "root of the result")
	rpms := flags.String("rpms", "", "the same, of rpm packages")
	var box toolbox
	box.flags(flags)
	lsm := flags.String("lsm", "", "security module that the kernel must have, such as apparmor; or none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	steps := []func() error{
		func() error {
			if *rpms != "" {
				return box.unpack(*rpms, *out)
			}
			return unpackRecorded(*debs, *out)
		},
		func() error { return mergeUsr(*out) },
		func() error { return indexModules(*out) },
		func() error { return linkKernel(*out) },
		func() error { return checkLSM(*out, *lsm) },
		func() error { return clamp(*out, time.Unix(*epoch, 0)) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// mergeUsr moves lib into usr/lib: Debian 12 still ships its modules in /lib,
// which is a link to usr/lib in the image.
func mergeUsr(out string) error {
	from, to := filepath.Join(out, "lib"), filepath.Join(out, "usr/lib")
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Rename(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	return os.Remove(from)
}

// indexModules runs depmod for the one kernel in out. depmod looks below
// lib/modules, so lib is a link to usr/lib while it runs.
func indexModules(out string) (err error) {
	version, err := kernelVersion(out)
	if err != nil {
		return err
	}
	link := filepath.Join(out, "lib")
	if err := os.Symlink("usr/lib", link); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(link)) }()
	return runLoud("depmod", "--basedir", out, version)
}

// runLoud runs a program that reports errors and then ends with success, as depmod does for
// a module that it cannot read: the module would be without its dependencies. The first such
// line, "depmod: ERROR: …", is the error.
func runLoud(name string, args ...string) error {
	var said bytes.Buffer
	if err := runTo(io.MultiWriter(os.Stderr, &said), name, args...); err != nil {
		return err
	}
	for line := range strings.Lines(said.String()) {
		if strings.HasPrefix(line, name+": ERROR: ") {
			return errors.New(strings.TrimSpace(line))
		}
	}
	return nil
}

// kernelVersion is the name of the one folder in usr/lib/modules.
func kernelVersion(root string) (string, error) {
	dir := filepath.Join(root, "usr/lib/modules")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("looking for the kernel's modules: %w", err)
	}
	var versions []string
	for _, entry := range entries {
		if entry.IsDir() {
			versions = append(versions, entry.Name())
		}
	}
	if len(versions) != 1 {
		return "", fmt.Errorf("%s holds %d kernels (%s): an image has exactly one", dir, len(versions), strings.Join(versions, ", "))
	}
	return versions[0], nil
}

// linkKernel makes layout.ImageKernel name the kernel, and keeps its config
// with the modules, since /boot is not part of the root image.
func linkKernel(out string) error {
	version, err := kernelVersion(out)
	if err != nil {
		return err
	}
	name := "vmlinuz-" + version
	if err := bringKernel(out, version, name); err != nil {
		return err
	}
	config := filepath.Join(out, "boot", "config-"+version)
	if err := os.Rename(config, filepath.Join(out, "usr/lib/modules", version, "config")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(filepath.Join(out, "boot", "System.map-"+version)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(name, filepath.Join(out, layout.ImageKernel))
}

// bringKernel moves a kernel that is with its modules, as in all rpm distributions, to /boot:
// a node has no /boot in its root, and needs the kernel nowhere else.
func bringKernel(out, version, name string) error {
	to, from := filepath.Join(out, "boot", name), filepath.Join(out, "usr/lib/modules", version, "vmlinuz")
	info, err := os.Lstat(from)
	if err == nil && info.Mode().IsRegular() {
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(from, to))
	}
	if _, err := os.Stat(to); err != nil {
		return fmt.Errorf("the kernel packages hold modules for %s but no kernel, neither /boot/%s nor /usr/lib/modules/%s/vmlinuz: %w", version, name, version, err)
	}
	return nil
}

// checkLSM refuses a kernel whose config does not build in the security module lsm.
func checkLSM(out, lsm string) error {
	if lsm == "" {
		return nil
	}
	version, err := kernelVersion(out)
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(out, "usr/lib/modules", version, "config"))
	if err != nil {
		return fmt.Errorf("looking whether the kernel has %s: %w", lsm, err)
	}
	option := "CONFIG_SECURITY_" + strings.ToUpper(lsm) + "=y"
	if !slices.Contains(strings.Split(string(config), "\n"), option) {
		return fmt.Errorf("the kernel %s has no %s (its config lacks %s), which the flavor asks for with lsm: choose another kernel, or leave lsm out", version, lsm, option)
	}
	return nil
}
