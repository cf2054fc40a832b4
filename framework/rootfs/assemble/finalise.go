// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// presetFile names the units that the framework turns on and off, in the
// format of systemd.preset(5).
const presetFile = "usr/lib/systemd/system-preset/10-kairos.preset"

// finalise is the last step of every recipe.
func finalise(args []string) error {
	flags := flag.NewFlagSet("finalise", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	sysusers := flags.String("sysusers", "", "file in the image with users to make, in the format of sysusers.d(5)")
	var box toolbox
	box.flags(flags)
	var rpms folders
	flags.Var(&rpms, "rpms", "folder with rpm packages that were unpacked, which may be repeated; none: they are of dpkg")
	if err := flags.Parse(args); err != nil {
		return err
	}
	units, err := presetUnits(filepath.Join("/", presetFile))
	if err != nil {
		return err
	}
	if units, err = thereOf("/", units); err != nil {
		return err
	}
	if err := run("systemctl", append([]string{"--root=/", "preset"}, units...)...); err != nil {
		return err
	}
	if *sysusers != "" {
		if err := addUsers("/", *sysusers); err != nil {
			return fmt.Errorf("making users: %w", err)
		}
	}
	if err := registerAll(&box, rpms); err != nil {
		return fmt.Errorf("registering packages: %w", err)
	}
	if err := chooseRoot("/"); err != nil {
		return err
	}
	if err := makeKept("/"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join("/", machineID), nil, 0o444); err != nil {
		return err
	}
	return tidy("/", time.Unix(*epoch, 0))
}

// makeKept makes the top directories that a node keeps, such as /opt, where the image lacks
// them: a node cannot make them in its read-only root.
func makeKept(root string) error {
	for _, dir := range layout.Persistent() {
		if strings.Count(dir, "/") > 1 {
			continue
		}
		mode := fs.FileMode(0o755)
		if dir == "/root" {
			mode = 0o700
		}
		if err := os.Mkdir(filepath.Join(root, dir), mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// presetUnits reads the units of every enable and disable line.
func presetUnits(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the framework's services: %w", err)
	}
	defer f.Close()
	var units []string
	scan := bufio.NewScanner(f)
	for scan.Scan() {
		fields := strings.Fields(scan.Text())
		if len(fields) == 2 && (fields[0] == "enable" || fields[0] == "disable") {
			units = append(units, fields[1])
		}
	}
	return units, scan.Err()
}

// registerAll adds the packages that were unpacked to the database of their package manager.
func registerAll(box *toolbox, rpms []string) error {
	if len(rpms) > 0 {
		return box.registerRPMs(rpms)
	}
	return register("/")
}

// otherNames are units of one kind, of which a distribution has one or more.
func otherNames() [][]string {
	return [][]string{
		{"ssh.service", "sshd.service"},
		{"systemd-timesyncd.service", "chronyd.service"},
		{"systemd-networkd.service", "NetworkManager.service"},
		{"systemd-networkd-wait-online.service", "NetworkManager-wait-online.service"},
	}
}

// thereOf leaves out the units that the root does not have, if it has another of their kind.
func thereOf(root string, units []string) (there []string, _ error) {
	has := func(unit string) bool {
		info, err := os.Lstat(filepath.Join(root, "usr/lib/systemd/system", unit))
		return err == nil && info.Mode().IsRegular() // a link is another name of a unit
	}
	for _, unit := range units {
		kind := slices.IndexFunc(otherNames(), func(names []string) bool { return slices.Contains(names, unit) })
		switch {
		case has(unit) || kind < 0:
			there = append(there, unit)
		case !slices.ContainsFunc(otherNames()[kind], has):
			return nil, fmt.Errorf("the image has none of the services %s: add the package with one of them", strings.Join(otherNames()[kind], ", "))
		}
	}
	return there, nil
}
