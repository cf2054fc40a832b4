// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// A medium is what --iso and --install put into the drives of a machine, and its empty disk.
type medium struct {
	dir  string // removed by Close
	disk string
	cds  []string
}

// installKey is added to a cloud-config that does not say how to install.
const installKey = "\ninstall: {auto: true, device: auto, reboot: true}\n"

// openMedium takes live.iso of the folder of a build. With install, the cloud-config in the
// file configPath is on a second CD-ROM.
func openMedium(build string, install bool, configPath string) (_ *medium, err error) {
	iso := filepath.Join(build, factory.ISOName)
	if _, err := os.Stat(iso); err != nil {
		return nil, fmt.Errorf("there is no medium to start: %w; make it with `kairos-build iso %s -o %s`", err, build, iso)
	}
	var userData []byte
	if install {
		if userData, err = installConfig(configPath); err != nil {
			return nil, err
		}
	}
	m := &medium{cds: []string{iso}}
	if m.dir, err = os.MkdirTemp("", "kairos-build-run-"); err != nil {
		return nil, err
	}
	m.disk = filepath.Join(m.dir, "disk.raw")
	err = os.WriteFile(m.disk, make([]byte, layout.Alignment), 0o600)
	if install && err == nil {
		drive := filepath.Join(m.dir, "cidata.iso")
		m.cds = append(m.cds, drive)
		err = qemu.WriteCIData(drive, map[string][]byte{"user-data": userData, "meta-data": []byte("instance-id: run\n")})
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// installConfig reads a cloud-config, and adds installKey if it does not ask for an
// installation.
func installConfig(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, problems := config.Decode(path, data)
	if problems.Failed() || c == nil {
		return nil, problems
	}
	if c.Install.Asks() {
		return data, nil
	}
	data = append(data, installKey...)
	if _, problems := config.Decode(path, data); problems.Failed() {
		return nil, fmt.Errorf("%s: it gets the key install with auto: true, and that does not fit: %w; write it into the file", path, problems)
	}
	return data, nil
}

// Close removes the files.
func (m *medium) Close() error { return os.RemoveAll(m.dir) }
