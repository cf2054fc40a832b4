// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// batchFile lists the packages of a folder of .debs, one `<batch> <file>` a
// line. A batch is unpacked and configured before the next begins, because a
// package may not be unpacked before its Pre-Depends are configured.
const batchFile = "batches"

// configure finishes the base root: every package is unpacked and registered,
// none is configured.
func configure(args []string) error {
	flags := flag.NewFlagSet("configure", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return changeRoot(time.Unix(*epoch, 0), func() error {
		return dpkg("--configure", "--pending")
	})
}

// install unpacks and configures the packages in --debs.
func install(args []string) error {
	flags := flag.NewFlagSet("install", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	debs := flags.String("debs", "/debs", "folder with the packages and their batches")
	if err := flags.Parse(args); err != nil {
		return err
	}
	batches, err := readBatches(*debs)
	if err != nil {
		return err
	}
	return changeRoot(time.Unix(*epoch, 0), func() error {
		for _, batch := range batches {
			if err := dpkg(append([]string{"--unpack"}, batch...)...); err != nil {
				return err
			}
			if err := dpkg("--configure", "--pending"); err != nil {
				return err
			}
		}
		return nil
	})
}

// changeRoot runs change while no service can start, and tidies up.
func changeRoot(epoch time.Time, change func() error) error {
	start, err := forbidServices("/usr/sbin/policy-rc.d")
	if err != nil {
		return err
	}
	if err := errors.Join(change(), start()); err != nil {
		return err
	}
	return tidy("/", epoch)
}

// forbidServices writes a policy that makes invoke-rc.d start nothing (exit
// status 101, /usr/share/doc/init-system-helpers). undo removes the policy.
func forbidServices(path string) (undo func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil { //nolint:gosec // invoke-rc.d executes it
		return nil, fmt.Errorf("keeping services from starting: %w", err)
	}
	return func() error { return os.Remove(path) }, nil
}

// readBatches reads batchFile of dir into lists of absolute paths.
func readBatches(dir string) ([][]string, error) {
	f, err := os.Open(filepath.Join(dir, batchFile))
	if err != nil {
		return nil, fmt.Errorf("reading the order of the packages: %w", err)
	}
	defer f.Close()
	var batches [][]string
	last := ""
	for scan := bufio.NewScanner(f); ; {
		if !scan.Scan() {
			return batches, scan.Err()
		}
		batch, name, ok := strings.Cut(scan.Text(), " ")
		if !ok {
			return nil, fmt.Errorf("%s: line %q is not \"<batch> <file>\"", f.Name(), scan.Text())
		}
		if batch != last {
			batches, last = append(batches, nil), batch
		}
		batches[len(batches)-1] = append(batches[len(batches)-1], filepath.Join(dir, name))
	}
}

// dpkg runs the real dpkg.
func dpkg(args ...string) error {
	args = append([]string{"--force-unsafe-io", "--force-confnew", "--log=/dev/null"}, args...)
	return run("dpkg", args...)
}

// extract unpacks packages without installing them: tools for later steps.
func extract(args []string) error {
	flags := flag.NewFlagSet("extract", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	debs := flags.String("debs", "/debs", "folder with the packages")
	into := flags.String("into", "/", "where to unpack them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := extractAll(*debs, *into, func(string, []byte) error { return nil }); err != nil {
		return err
	}
	return clamp(*into, time.Unix(*epoch, 0))
}

// extractAll unpacks every package in debs and calls each with the names of its
// files, as tar prints them.
func extractAll(debs, into string, each func(deb string, names []byte) error) error {
	paths, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no packages in %s: %w", debs, fs.ErrNotExist)
	}
	for _, deb := range paths {
		names, err := unpack(deb, into)
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", filepath.Base(deb), err)
		}
		if err := each(deb, names); err != nil {
			return fmt.Errorf("recording %s: %w", filepath.Base(deb), err)
		}
	}
	return nil
}

// unpack is dpkg-deb --extract for a root where /lib is a link. dpkg-deb would
// replace the link by a directory, as Debian 12 still ships files in /lib.
func unpack(deb, into string) ([]byte, error) {
	var names bytes.Buffer
	from := command("dpkg-deb", "--fsys-tarfile", deb)
	to := command("tar", "--extract", "--verbose", "--keep-directory-symlink", "--directory", into)
	from.Stderr, to.Stderr, to.Stdout = os.Stderr, os.Stderr, &names
	var err error
	if to.Stdin, err = from.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := errors.Join(from.Start(), to.Start()); err != nil {
		return nil, err
	}
	if err := errors.Join(to.Wait(), from.Wait()); err != nil {
		return nil, err
	}
	return names.Bytes(), nil
}

// command has no context: the engine ends a step by ending its container.
func command(name string, args ...string) *exec.Cmd {
	return exec.Command(name, args...) //nolint:forbidigo // see above
}

// run executes a program of the root with a fixed environment; its output is the
// step's output.
func run(name string, args ...string) error { return runTo(os.Stderr, name, args...) }

// runTo is run with another place for what the program says on stderr.
func runTo(stderr io.Writer, name string, args ...string) error {
	cmd := command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, stderr
	cmd.Env = append(os.Environ(),
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"DEBCONF_NOWARNINGS=yes", "LC_ALL=C.UTF-8", "HOME=/root")
	if err := startWithoutSync(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return nil
}
