// SPDX-License-Identifier: Apache-2.0

// Package installed tests the way from an installer medium to a node: a machine with an
// empty disk, the medium in one drive, and in another one the CD-ROM that a hypervisor
// makes. Nobody touches it.
package installed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Applies tells whether the lab's folder has a medium.
func Applies(l *lab.Lab) bool {
	_, err := os.Stat(filepath.Join(l.Dir, lab.MediumName))
	return l.Dir != "" && err == nil
}

var (
	liveReady  = regexp.MustCompile(`kairos: ready slot=none mode=live`)
	fromDisk   = regexp.MustCompile(`kairos: starting the installed disk`)
	installing = regexp.MustCompile(`installing, as the config says`)
	installed  = regexp.MustCompile(`installed (\S+) on (\S+) in (\d+) s`)
	refused    = regexp.MustCompile(`NOT INSTALLED: (.*)`)
)

// memoryMiB is that of a small machine.
const memoryMiB = 1536

// hostname is what the user-data says, with the template that fleets use.
const hostname = "edge-{{ trunc 4 .MachineID }}"

type story struct {
	*lab.Machine
	begun time.Time // power-on
	more  string    // of the key install in the user-data
	tpm   string    // folder with the state of the machine's TPM; empty: it has none
	large bool      // its disk is an NVMe with large sectors
}

// Chapters returns all chapters. At their end the node runs from slot a of its disk, without
// the media.
func Chapters(m *lab.Machine) []lab.Chapter {
	t := &story{Machine: m}
	return append(t.chapters(), lab.Chapter{Name: "alone", Title: "needs neither of the media", Do: t.alone})
}

// TellShort leaves out what comes after the installation.
func TellShort(ctx context.Context, m *lab.Machine) {
	m.Tell(ctx, false, (&story{Machine: m}).chapters())
}

func (t *story) chapters() []lab.Chapter {
	return []lab.Chapter{
		{Name: "medium", Title: "starts from the medium, which reads the user-data of the other drive", Do: t.medium},
		{Name: "installed", Title: "installs itself, and comes up from its disk", Do: t.install},
		{Name: "config", Title: "has the users, the name and the files of its user-data", Do: t.config},
		{Name: "layout", Title: "has the partitions of a written disk, and the image in all three slots", Do: t.layout},
		{Name: "once", Title: "starts from its disk again though its firmware prefers the media, and is not installed twice", Do: t.once},
	}
}

// medium starts the machine. The medium is in the first drive, the data of the hypervisor
// in the second one, and the firmware prefers both to the disk, which is empty.
func (t *story) medium(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "kairos-build-install-")
	if err != nil {
		return "", err
	}
	t.AtEnd(func() error { return os.RemoveAll(dir) })
	empty, drive := filepath.Join(dir, "empty.raw"), filepath.Join(dir, "cloudinit.iso")
	if err := errors.Join(qemu.WriteEmpty(empty), t.writeDrive(drive)); err != nil {
		return "", err
	}
	t.Setup = lab.Setup{
		Disk: empty, OEM: &qemu.Patch{}, CDROMs: []string{filepath.Join(t.Lab.Dir, lab.MediumName), drive}, CDFirst: true,
		Dir: filepath.Join(dir, "machine"), TPM: t.tpm, MemoryMiB: memoryMiB, Faults: t.Lab.Survivable(),
	}
	if t.large {
		t.Setup.Bus, t.Setup.Sector = qemu.NVMe, gpt.LargeSector
	}
	t.begun = time.Now()
	if err := t.Launch(ctx); err != nil {
		return "", err
	}
	if _, err := t.wait(ctx, liveReady); err != nil {
		return "", err
	}
	return fmt.Sprintf("live %.1f s after power-on", time.Since(t.begun).Seconds()), nil
}

// wait waits for a line on the console as long as for a boot.
func (t *story) wait(ctx context.Context, re *regexp.Regexp) (qemu.Match, error) {
	ctx, cancel := qemu.WithTimeout(ctx, t.Lab.BootTimeout)
	defer cancel()
	return t.VM.WaitLine(ctx, re)
}

// writeDrive makes the CD-ROM of Proxmox VE 9 (qemu-server 9.2, PVE::QemuServer::Cloudinit):
// user-data with its keys and a network-config of version 1 with an interface that this
// machine does not have. The keys of the lab and the installation are the owner's part.
func (t *story) writeDrive(path string) error {
	user := string(t.Lab.Access()) + "hostname: \"" + hostname + "\"\n" + ownKeys + t.more
	return qemu.WriteCIData(path, map[string][]byte{
		"user-data": []byte(user), "meta-data": []byte("instance-id: 5b0c1f0f0c6d7a1d5e0c3b6b6f0e7d1c8a9b2c3d\n"), "network-config": []byte(networkConfig),
	})
}

const ownKeys = `manage_etc_hosts: true
chpasswd:
  expire: False
package_upgrade: true
install:
  auto: true
  device: auto
  reboot: true
`

// networkConfig has the address of QEMU's network card.
const networkConfig = `version: 1
config:
    - type: physical
      name: eth0
      mac_address: '52:54:00:12:34:56'
      subnets:
      - type: dhcp4
    - type: nameserver
      address:
      - '10.0.2.3'
`

// install waits until the node is up on its disk. An installation that is refused ends the
// wait.
func (t *story) install(ctx context.Context) (string, error) {
	either := regexp.MustCompile(installed.String() + "|" + refused.String())
	m, err := t.wait(ctx, either)
	if err != nil {
		return "", err
	}
	done := installed.FindStringSubmatch(m.Text)
	if done == nil {
		return "", errors.New(strings.TrimSpace(m.Text))
	}
	if err := t.Ready(ctx, t.begun, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s written in %s s; up %.1f s after power-on of the medium", done[2], done[3], time.Since(t.begun).Seconds()), nil
}

func (t *story) config(ctx context.Context) (string, error) {
	words, err := t.Guest.Output(ctx, "cat", lab.ConfigFile)
	if err != nil {
		return "", err
	}
	if words != lab.ConfigWords {
		return "", fmt.Errorf("%s has %q", lab.ConfigFile, words)
	}
	if _, err := t.Guest.Output(ctx, "id", lab.TestUser); err != nil {
		return "", err
	}
	name, err := t.Guest.Output(ctx, "hostname")
	if err != nil {
		return "", err
	}
	if !regexp.MustCompile(`^edge-[0-9a-f]{4}$`).MatchString(strings.TrimSpace(name)) {
		return "", fmt.Errorf("its name is %q, and must follow %q", strings.TrimSpace(name), hostname)
	}
	_, err = lab.Units(ctx, t.Guest)
	return strings.TrimSpace(name), err
}

// layout compares the disk with disk.raw of the same image. dm-verity checks slot a.
func (t *story) layout(ctx context.Context) (string, error) {
	want, err := t.Lab.Artifact.RootHash()
	if err != nil {
		return "", err
	}
	if got, _ := lab.Argument(t.Guest.Cmdline, layout.ArgRootHash); got != want {
		return "", fmt.Errorf("slot a has the root hash %q, and the medium's image has %q", got, want)
	}
	size, _ := lab.Argument(t.Guest.Cmdline, layout.ArgHashOffset)
	for _, x := range []layout.Slot{layout.SlotB, layout.SlotRecovery} {
		if _, err := t.Guest.Output(ctx, "cmp", "--bytes="+size, byName(layout.SlotA.Root()), byName(x.Root())); err != nil {
			return "", fmt.Errorf("slot %s has another image than slot a: %w", x, err)
		}
	}
	names, err := t.Guest.Output(ctx, "lsblk", "--noheadings", "--list", "--output", "PARTLABEL", "/dev/vda")
	if err != nil {
		return "", err
	}
	if got := strings.Join(strings.Fields(names), " "); got != partitions() {
		return "", fmt.Errorf("the partitions are %q, must be %q", got, partitions())
	}
	return "", nil
}

func byName(partition string) string { return "/dev/disk/by-partlabel/" + partition }

// partitions are the names of all partitions of a written disk.
func partitions() string {
	var names []string
	for _, p := range layout.Table(layout.Sizes{ImageSize: layout.MiB}) {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}

// once reboots. The menu of the medium starts the disk.
func (t *story) once(ctx context.Context) (string, error) {
	before, err := os.ReadFile(t.VM.ConsoleLog)
	if err != nil {
		return "", err
	}
	if err := t.Reboot(ctx); err != nil {
		return "", err
	}
	if err := t.Settled(ctx); err != nil {
		return "", err
	}
	log, err := os.ReadFile(t.VM.ConsoleLog)
	if err != nil {
		return "", err
	}
	return "", judgeReboot(log[:len(before)], log[len(before):])
}

// judgeReboot judges the console log before and after a reboot.
func judgeReboot(before, after []byte) error {
	if !installing.Match(before) || installing.Match(after) {
		return errors.New("the console must say once that it installs, before the reboot")
	}
	if !fromDisk.Match(after) {
		return fmt.Errorf("the console does not say %q: the firmware did not start the medium, or its menu went past the disk", fromDisk)
	}
	return nil
}

// alone cuts the power, takes the media out, and starts the machine once more.
func (t *story) alone(ctx context.Context) (string, error) {
	if err := t.Client.Close(); err != nil {
		t.Lab.Log.Debug("closing the connection of a machine that loses its power", "err", err)
	}
	if err := t.VM.Close(); err != nil {
		return "", err
	}
	t.Setup.CDROMs = nil
	return "", t.Start(ctx)
}
