// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"os"
	"strings"
)

// A Network is how a machine's only network card is attached. The zero value is QEMU's
// own network (10.0.2.0/24, with the host at 10.0.2.2), from which nothing boots.
type Network struct {
	// TAP is a port of another network, an open TAP interface (/dev/net/tun). Then there
	// are no Forwards. The caller closes it when the machine has started.
	TAP *os.File
	MAC string // default: QEMU's, the same for all machines
	// Boot lets the firmware try the network before the disks: SeaBIOS by the iPXE that
	// QEMU puts into the card, and UEFI by its own drivers.
	Boot bool
	// Last tries the network after the disks and CD-ROMs instead.
	Last bool
	// HTTP makes UEFI try HTTP boot at once, and not PXE before it.
	HTTP bool
	// BootFile is what QEMU's own network gives to a machine that boots from it: a URL, or
	// a file below the folder TFTP.
	BootFile, TFTP string
}

// networkArgs let QEMU choose the host's ports, so no other program can take one between
// the choice and the use.
func (m machine) networkArgs() []string {
	a := []string{"-netdev", m.netdev(), "-device", m.networkCard()}
	if m.Network.HTTP { // OvmfPkg/RUNTIME_CONFIG.md of edk2
		for _, version := range []string{"4", "6"} {
			a = append(a, "-fw_cfg", "name=opt/org.tianocore/IPv"+version+"PXESupport,string=no")
		}
	}
	return a
}

func (m machine) netdev() string {
	if m.Network.TAP != nil {
		return fmt.Sprintf("tap,id=net0,fd=%d", tapFD)
	}
	var s strings.Builder
	s.WriteString("user,id=net0")
	for _, port := range m.Forwards {
		fmt.Fprintf(&s, ",hostfwd=tcp:127.0.0.1:0-:%d", port)
	}
	if m.Network.TFTP != "" {
		s.WriteString(",tftp=" + quote(m.Network.TFTP))
	}
	if m.Network.BootFile != "" {
		s.WriteString(",bootfile=" + quote(m.Network.BootFile))
	}
	return s.String()
}

// networkCard has a program for the firmware (romfile) only where the firmware is to boot
// from it and has no driver of its own. Boot index 0 comes before the disks: see diskArgs.
func (m machine) networkCard() string {
	card := "virtio-net-pci,netdev=net0"
	if m.Network.MAC != "" {
		card += ",mac=" + m.Network.MAC
	}
	if !m.Network.Boot || m.Boot != BIOS {
		card += ",romfile="
	}
	switch {
	case m.Network.Boot && m.Network.Last:
		card += fmt.Sprintf(",bootindex=%d", len(m.disks)+len(m.CDROMs)+1)
	case m.Network.Boot:
		card += ",bootindex=0"
	}
	return card
}
