// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/config"
)

// A medium is what a machine starts with --iso, --netboot and --install: CD-ROMs or the
// network, and an empty disk.
type medium struct {
	dir     string // removed by Close
	disk    string // empty: there is none
	cds     []string
	network qemu.Network
	memory  int    // MiB; 0: the default
	user    string // the first who can log in; may be empty
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
	m, err := emptyMachine(configPath)
	if err != nil {
		return nil, err
	}
	m.cds = []string{iso}
	if install {
		drive := filepath.Join(m.dir, "cidata.iso")
		m.cds = append(m.cds, drive)
		err = qemu.WriteCIData(drive, map[string][]byte{"user-data": userData, "meta-data": []byte("instance-id: run\n")})
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// emptyMachine has an empty disk.
func emptyMachine(configPath string) (*medium, error) {
	user, err := firstUser(configPath)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kairos-build-run-")
	if err != nil {
		return nil, err
	}
	m := &medium{dir: dir, disk: filepath.Join(dir, "disk.raw"), user: user}
	if err := qemu.WriteEmpty(m.disk); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// firstUser is the first user that a cloud-config lets log in; path may be empty. Mistakes
// in the file are for those who use it to report.
func firstUser(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	c, _ := config.Decode(path, data)
	return first(lab.Logins(c)), nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// openNetwork writes the files of `kairos-build netboot`, which QEMU serves to its machine
// over TFTP. An empty disk comes before the network, so an installed one does, too.
func openNetwork(cmd *cobra.Command, build string, install bool, configPath string, boot qemu.Boot) (_ *medium, err error) {
	m, err := emptyMachine(configPath)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	kernel, err := kernelOf(filepath.Join(build, "disk.raw"))
	if err != nil {
		return nil, err
	}
	arch, err := qemu.KernelArch(kernel)
	if err != nil {
		return nil, err
	}
	o := factory.NetbootOptions{Image: build, Arch: arch, Path: filepath.Join(m.dir, "netboot")}
	if configPath != "" {
		o.CloudConfigs = []string{configPath}
	}
	if install {
		_, asks, err := readConfig(configPath)
		if err != nil {
			return nil, err
		}
		o.Install = !asks
	}
	made, err := makeNetboot(cmd, o, talkFlags{progress: progress.Auto})
	if err != nil {
		return nil, err
	}
	m.network = qemu.Network{Boot: true, Last: true, TFTP: o.Path, BootFile: netboot.Script}
	if boot != qemu.BIOS {
		m.network.BootFile = netboot.Shim(arch)
	}
	m.memory = max(qemu.DefaultMemoryMiB, made.MemoryMiB())
	if !install {
		m.disk = ""
	}
	return m, nil
}

// installConfig reads a cloud-config, and adds installKey if it does not ask for an
// installation.
func installConfig(path string) ([]byte, error) {
	data, asks, err := readConfig(path)
	if err != nil || asks {
		return data, err
	}
	data = append(data, installKey...)
	if _, problems := config.Decode(path, data); problems.Failed() {
		return nil, fmt.Errorf("%s: it gets the key install with auto: true, and that does not fit: %w; write it into the file", path, problems)
	}
	return data, nil
}

// readConfig reads a cloud-config, and tells whether it asks for an installation.
func readConfig(path string) (data []byte, asks bool, err error) {
	if data, err = os.ReadFile(path); err != nil {
		return nil, false, err
	}
	c, problems := config.Decode(path, data)
	if problems.Failed() || c == nil {
		return nil, false, problems
	}
	return data, c.Install.Asks(), nil
}

// Close removes the files.
func (m *medium) Close() error { return os.RemoveAll(m.dir) }
