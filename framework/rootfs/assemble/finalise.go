// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// presetFile names the units that the framework turns on and off, in the
// format of systemd.preset(5).
const presetFile = "usr/lib/systemd/system-preset/10-kairos.preset"

// finalise is the last step of every recipe.
func finalise(args []string) error {
	flags := flag.NewFlagSet("finalise", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	sysusers := flags.String("sysusers", "", "file in the image with users to make, in the format of sysusers.d(5)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	units, err := presetUnits(filepath.Join("/", presetFile))
	if err != nil {
		return err
	}
	units = slices.DeleteFunc(units, func(unit string) bool { return !hasUnit("/", unit) })
	if err := run("systemctl", append([]string{"--root=/", "preset"}, units...)...); err != nil {
		return err
	}
	if *sysusers != "" {
		if err := addUsers("/", *sysusers); err != nil {
			return fmt.Errorf("making users: %w", err)
		}
	}
	if err := register("/"); err != nil {
		return fmt.Errorf("registering packages: %w", err)
	}
	if err := chooseRoot("/"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join("/", machineID), nil, 0o444); err != nil {
		return err
	}
	return tidy("/", time.Unix(*epoch, 0))
}

// hasUnit tells whether the image has a unit: distributions name their services differently.
func hasUnit(root, unit string) bool {
	_, err := os.Lstat(filepath.Join(root, "usr/lib/systemd/system", unit))
	return err == nil
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
