// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A board holds what differs between the architectures of guests.
type board struct {
	arch     string // as Go names it
	machine  string // the architecture, as QEMU and firmware descriptors name it
	packages string // of Debian and Ubuntu, with QEMU and the firmware
	boots    []Boot
	chipset  Chipset // the default
	plain    Chipset // one without a watchdog
	family   string  // how names of the chipset's machine types begin in firmware descriptors
	cpu      string  // in emulation
	tpm      string  // device
	usual    func(Boot) []Firmware
}

// boards returns the architectures that machines can have.
func boards() []board {
	return []board{
		{
			arch: "amd64", machine: "x86_64", packages: "qemu-system-x86 ovmf", boots: []Boot{BIOS, UEFI, SecureBoot},
			chipset: Q35, plain: I440FX, family: "pc-q35", cpu: plainCPU, tpm: "tpm-crb", usual: usualFirmware,
		},
		{
			arch: "arm64", machine: "aarch64", packages: "qemu-system-arm qemu-efi-aarch64", boots: []Boot{UEFI, SecureBoot},
			chipset: Virt, plain: VirtPlain, family: "virt", cpu: plainARM, tpm: "tpm-tis-device", usual: usualARMFirmware,
		},
	}
}

// Arches lists the architectures that machines can have, as Go names them.
func Arches() []string {
	var list []string
	for _, b := range boards() {
		list = append(list, b.arch)
	}
	return list
}

// boardOf finds the board of an architecture; the default is amd64.
func boardOf(arch string) (board, error) {
	if arch == "" {
		arch = "amd64"
	}
	all := boards()
	i := slices.IndexFunc(all, func(b board) bool { return b.arch == arch })
	if i < 0 {
		return board{}, fmt.Errorf("no machine has the architecture %q: there are %s", arch, strings.Join(Arches(), ", "))
	}
	return all[i], nil
}

// program is the board's QEMU.
func (b board) program() string { return "qemu-system-" + b.machine }

// install says how to install a missing QEMU or firmware.
func (b board) install() string {
	return "install it, on Debian and Ubuntu with: apt-get install --no-install-recommends " + b.packages
}

// KernelArch tells for which architecture a Linux kernel is, as Go names it.
//
// The marks are those of Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst
// of Linux.
func KernelArch(kernel []byte) (string, error) {
	for _, k := range []struct {
		arch, mark string
		offset     int
	}{{"amd64", "HdrS", 0x202}, {"arm64", "ARM\x64", 0x38}} {
		if len(kernel) > k.offset && bytes.HasPrefix(kernel[k.offset:], []byte(k.mark)) {
			return k.arch, nil
		}
	}
	return "", fmt.Errorf("the kernel is for none of %s: build the disk again", strings.Join(Arches(), ", "))
}

// board is the board of the host's machines. Find has refused an unknown architecture.
func (h Host) board() board {
	b, err := boardOf(h.Arch)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}

// Boots lists the firmwares of the host's machines, in the order of reports. The first is the
// usual one.
func (h Host) Boots() []Boot { return h.board().boots }

// WithoutWatchdog is a chipset without a watchdog.
func (h Host) WithoutWatchdog() Chipset { return h.board().plain }

// Boot is the firmware that starts the chipset where another one is usual.
func (c Chipset) Boot(usual Boot) Boot {
	if c == I440FX {
		return BIOS
	}
	return usual
}
