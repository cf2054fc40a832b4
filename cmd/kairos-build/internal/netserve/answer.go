// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
)

// Vendor classes (option 60): the specification of PXE 2.1, and of UEFI 2.10, 24.7.
const (
	classPXE  = "PXEClient"
	classHTTP = "HTTPClient"
)

// discoveryControl is option 43 for a BIOS: sub-option 6, PXE_DISCOVERY_CONTROL, with bit 3:
// boot the file of this offer, and look for no other server.
var discoveryControl = []byte{6, 1, 8, 255}

// biosProgram is the file that a BIOS without iPXE loads.
const biosProgram = "undionly.kpxe"

// A firmware is what option 93 says of a machine (RFC 4578; numbers from
// https://www.iana.org/assignments/dhcpv6-parameters, processor architecture types).
type firmware struct {
	name string
	arch string // GOARCH
	uefi bool
	http bool
}

func firmwareOf(number uint16) firmware {
	switch number {
	case 0:
		return firmware{name: "BIOS", arch: "amd64"}
	case 6:
		return firmware{name: "UEFI ia32", arch: "386", uefi: true}
	case 7, 9:
		return firmware{name: "UEFI x64", arch: "amd64", uefi: true}
	case 10:
		return firmware{name: "UEFI arm32", arch: "arm", uefi: true}
	case 11:
		return firmware{name: "UEFI arm64", arch: "arm64", uefi: true}
	case 15:
		return firmware{name: "UEFI HTTP ia32", arch: "386", uefi: true, http: true}
	case 16:
		return firmware{name: "UEFI HTTP x64", arch: "amd64", uefi: true, http: true}
	case 18:
		return firmware{name: "UEFI HTTP arm32", arch: "arm", uefi: true, http: true}
	case 19:
		return firmware{name: "UEFI HTTP arm64", arch: "arm64", uefi: true, http: true}
	}
	return firmware{name: fmt.Sprintf("firmware type %d", number), arch: "unknown"}
}

// A request is a packet of a machine that wants to boot from the network.
type request struct {
	packet   *dhcpv4.DHCPv4
	kind     dhcpv4.MessageType
	mac      string
	addr     netip.Addr // that the machine has or asks for; zero if none
	firmware firmware
	http     bool // class HTTPClient
	ipxe     bool // iPXE is running: it wants a script
}

// parse reads a packet. It reports false for what is no request of such a machine.
func parse(data []byte) (request, bool) {
	m, err := dhcpv4.FromBytes(data)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest || len(m.ClientHWAddr) != 6 {
		return request{}, false
	}
	r := request{packet: m, kind: m.MessageType(), mac: m.ClientHWAddr.String()}
	class, arch := m.ClassIdentifier(), m.ClientArch()
	if len(arch) == 0 || !strings.HasPrefix(class, classPXE) && !strings.HasPrefix(class, classHTTP) {
		return request{}, false
	}
	r.firmware, r.http = firmwareOf(uint16(arch[0])), strings.HasPrefix(class, classHTTP)
	r.ipxe = isIPXE(m.Options.Get(dhcpv4.OptionUserClassInformation))
	for _, ip := range []net.IP{m.RequestedIPAddress(), m.ClientIPAddr} {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && a.IsGlobalUnicast() {
			r.addr = a
		}
	}
	return r, true
}

// isIPXE reads the user class (option 77). Most builds of iPXE send the bare word; others
// a list of words, each behind its length, as RFC 3004 wants it.
func isIPXE(class []byte) bool {
	if string(class) == "iPXE" {
		return true
	}
	for len(class) > 0 {
		n := int(class[0])
		if n == 0 || n >= len(class) {
			return false
		}
		if string(class[1:1+n]) == "iPXE" {
			return true
		}
		class = class[1+n:]
	}
	return false
}

// A place is where machines find the server.
type place struct {
	addr netip.Addr
	port uint16 // of HTTP
}

func (p place) host() string {
	if p.port == 80 {
		return p.addr.String() // also for a GRUB that knows no port
	}
	return fmt.Sprintf("%s:%d", p.addr, p.port)
}

func (p place) url(name string) string { return "http://" + p.host() + "/" + name }

// An answerer decides what a machine boots. It is a pure function of what it is made of.
type answerer struct {
	place
	arch       string // of the image, a GOARCH
	bios, uefi bool   // there are programs for it
}

// bootFile is what a machine boots. Where it is empty, why says in words why it gets nothing.
func (a answerer) bootFile(r request) (file, why string) {
	f := r.firmware
	switch {
	case f.arch != a.arch:
		return "", fmt.Sprintf("it is %s, and the image is for %s: serve an image for it", f.name, a.arch)
	case r.ipxe:
		return a.url(netboot.Script), ""
	case !f.uefi && !a.bios:
		return "", "its network card has no iPXE: install the Debian package ipxe on this host, or name its undionly.kpxe with --ipxe"
	case !f.uefi:
		return biosProgram, ""
	case !a.uefi:
		return "", "it is " + f.name + ", and the image has no network GRUB: build the image anew"
	case r.http:
		return a.url(netboot.Shim(a.arch)), ""
	}
	return netboot.Shim(a.arch), ""
}

// An answer is a packet for a machine; packet is nil if it gets none.
type answer struct {
	packet *dhcpv4.DHCPv4
	file   string
	why    string
}

// offer answers a packet on port 67. The DHCP server of the network answers, too, and gives
// the address. Requests there are addressed to that server.
func (a answerer) offer(r request) answer {
	if r.kind == dhcpv4.MessageTypeDiscover {
		return a.reply(r, dhcpv4.MessageTypeOffer)
	}
	if id := r.packet.ServerIdentifier(); r.kind == dhcpv4.MessageTypeRequest && id.Equal(a.addr.AsSlice()) {
		return a.reply(r, dhcpv4.MessageTypeAck)
	}
	return answer{}
}

// acknowledge answers a packet on port 4011, where UEFI firmware and some BIOS ask again.
func (a answerer) acknowledge(r request) answer {
	if r.kind == dhcpv4.MessageTypeRequest || r.kind == dhcpv4.MessageTypeInform {
		return a.reply(r, dhcpv4.MessageTypeAck)
	}
	return answer{}
}

func (a answerer) reply(r request, kind dhcpv4.MessageType) answer {
	file, why := a.bootFile(r)
	if file == "" {
		return answer{why: why}
	}
	m := r.packet
	p := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: m.HWType, TransactionID: m.TransactionID, Flags: m.Flags,
		ClientIPAddr: m.ClientIPAddr, YourIPAddr: net.IPv4zero, ServerIPAddr: a.addr.AsSlice(), GatewayIPAddr: m.GatewayIPAddr,
		ClientHWAddr: m.ClientHWAddr, ServerHostName: a.addr.String(), BootFileName: file, Options: dhcpv4.Options{},
	}
	p.UpdateOption(dhcpv4.OptMessageType(kind))
	p.UpdateOption(dhcpv4.OptServerIdentifier(a.addr.AsSlice()))
	p.UpdateOption(dhcpv4.OptClassIdentifier(class(r)))
	if id := m.Options.Get(dhcpv4.OptionClientMachineIdentifier); len(id) == 17 {
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, slices.Clone(id)))
	}
	if !r.firmware.uefi {
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, discoveryControl))
	}
	return answer{packet: p, file: file}
}

func class(r request) string {
	if r.http {
		return classHTTP
	}
	return classPXE
}
