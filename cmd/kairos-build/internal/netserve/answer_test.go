// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

var self = netip.MustParseAddr("192.0.2.1")

func answers() answerer {
	return answerer{place: place{self, 80}, arch: "amd64", bios: true, uefi: true}
}

// ask is a packet of a machine.
func ask(t testing.TB, kind dhcpv4.MessageType, arch uint16, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	class := classPXE
	if arch >= 15 {
		class = classHTTP
	}
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithHwAddr(net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}), dhcpv4.WithMessageType(kind), dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier(fmt.Sprintf("%s:Arch:%05d:UNDI:003016", class, arch))),
		dhcpv4.WithOption(dhcpv4.OptClientArch(iana.Arch(arch))),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func userClass(data string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, []byte(data)))
}

func parsed(t testing.TB, m *dhcpv4.DHCPv4) request {
	t.Helper()
	r, ok := parse(m.ToBytes())
	if !ok {
		t.Fatalf("not understood: %s", m.Summary())
	}
	return r
}

// TestBootFile: what each kind of machine is told to load.
func TestBootFile(t *testing.T) {
	all := answers()
	other := answerer{place: place{self, 8080}, arch: "amd64"}
	arm := answerer{place: place{self, 80}, arch: "arm64", uefi: true}
	const script = "http://192.0.2.1/boot.ipxe"
	for _, c := range []struct {
		name  string
		a     answerer
		arch  uint16
		class string // option 77
		file  string
		why   string
	}{
		{"BIOS", all, 0, "", "undionly.kpxe", ""},
		{"BIOS, iPXE", all, 0, "iPXE", script, ""},
		{"BIOS, iPXE as RFC 3004 has it", all, 0, "\x04iPXE", script, ""},
		{"BIOS, iPXE behind another class", all, 0, "\x03abc\x04iPXE", script, ""},
		{"BIOS, another class", all, 0, "\x05iPXEx", "undionly.kpxe", ""},
		{"BIOS, a length that lies", all, 0, "\xffiPXE", "undionly.kpxe", ""},
		{"BIOS, iPXE at another port", other, 0, "iPXE", "http://192.0.2.1:8080/boot.ipxe", ""},
		{"BIOS without undionly.kpxe", other, 0, "", "", "install the Debian package ipxe"},
		{"UEFI", all, 7, "", "bootx64.efi", ""},
		{"UEFI, EBC", all, 9, "", "bootx64.efi", ""},
		{"UEFI, iPXE", all, 7, "iPXE", script, ""},
		{"UEFI HTTP", all, 16, "", "http://192.0.2.1/bootx64.efi", ""},
		{"UEFI without network GRUB", other, 7, "", "", "the image has no network GRUB: build the image anew"},
		{"UEFI ia32", all, 6, "", "", "it is UEFI ia32, and the image is for amd64"},
		{"UEFI HTTP ia32", all, 15, "", "", "it is UEFI HTTP ia32, and the image is for amd64"},
		{"UEFI arm64", all, 11, "", "", "it is UEFI arm64, and the image is for amd64: serve an image for it"},
		{"UEFI HTTP arm64", all, 19, "", "", "it is UEFI HTTP arm64, and the image is for amd64"},
		{"something new", all, 65535, "iPXE", "", "it is firmware type 65535, and the image is for amd64"},
		{"BIOS, and an image for arm64", arm, 0, "iPXE", "", "it is BIOS, and the image is for arm64"},
		{"arm64, and an image for it", arm, 11, "iPXE", script, ""},
		{"UEFI arm64, and an image for it", arm, 11, "", "bootaa64.efi", ""},
		{"UEFI HTTP arm64, and an image for it", arm, 19, "", "http://192.0.2.1/bootaa64.efi", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ask(t, dhcpv4.MessageTypeDiscover, c.arch)
			if c.class != "" {
				userClass(c.class)(m)
			}
			file, why := c.a.bootFile(parsed(t, m))
			if file != c.file || !strings.Contains(why, c.why) || (why == "") != (c.why == "") {
				t.Errorf("got %q, %q", file, why)
			}
		})
	}
}

// TestAnswers: who is answered where. Requests on port 67 are for the server that gives
// addresses.
func TestAnswers(t *testing.T) {
	server := func(addr string) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(addr)))
	}
	for _, c := range []struct {
		name   string
		decide func(request) answer
		m      *dhcpv4.DHCPv4
		want   dhcpv4.MessageType // 0: no answer
	}{
		{"a question", answers().offer, ask(t, dhcpv4.MessageTypeDiscover, 7), dhcpv4.MessageTypeOffer},
		{"a request to the other server", answers().offer, ask(t, dhcpv4.MessageTypeRequest, 7, server("192.0.2.254")), 0},
		{"a request to this server", answers().offer, ask(t, dhcpv4.MessageTypeRequest, 7, server("192.0.2.1")), dhcpv4.MessageTypeAck},
		{"a release", answers().offer, ask(t, dhcpv4.MessageTypeRelease, 7), 0},
		{"a request to 4011", answers().acknowledge, ask(t, dhcpv4.MessageTypeRequest, 7), dhcpv4.MessageTypeAck},
		{"a question to 4011", answers().acknowledge, ask(t, dhcpv4.MessageTypeDiscover, 7), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := c.decide(parsed(t, c.m))
			if (a.packet == nil) != (c.want == 0) || a.packet != nil && a.packet.MessageType() != c.want {
				t.Errorf("got %v", a.packet)
			}
		})
	}
}

// TestNotOurs: a machine that does not boot from the network is left alone.
func TestNotOurs(t *testing.T) {
	plain, err := dhcpv4.NewDiscovery(net.HardwareAddr{2, 0, 0, 0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	reply := ask(t, dhcpv4.MessageTypeOffer, 0)
	reply.OpCode = dhcpv4.OpcodeBootReply
	classless := ask(t, dhcpv4.MessageTypeDiscover, 0)
	classless.UpdateOption(dhcpv4.OptClassIdentifier("MSFT 5.0"))
	infiniband := ask(t, dhcpv4.MessageTypeDiscover, 0)
	infiniband.ClientHWAddr = make(net.HardwareAddr, 16)
	for name, data := range map[string][]byte{
		"nothing": {}, "text": []byte("hello"), "a plain client": plain.ToBytes(), "a reply": reply.ToBytes(), "another class": classless.ToBytes(),
		"no Ethernet": infiniband.ToBytes(), "cut short": ask(t, dhcpv4.MessageTypeDiscover, 0).ToBytes()[:250],
	} {
		if _, ok := parse(data); ok {
			t.Errorf("%s: taken for a machine that boots from the network", name)
		}
	}
}

// TestDestination: relays and machines with an address get their answer alone.
func TestDestination(t *testing.T) {
	r := parsed(t, ask(t, dhcpv4.MessageTypeDiscover, 7))
	machine := netip.MustParseAddrPort("192.0.2.7:68")
	if got := to(r, netip.MustParseAddrPort("0.0.0.0:68")); got.String() != "255.255.255.255:68" {
		t.Errorf("a machine without an address: %v", got)
	}
	if got := to(r, machine); got != machine {
		t.Errorf("a machine with an address: %v", got)
	}
	r.packet.GatewayIPAddr = net.IPv4(198, 51, 100, 1)
	if got := to(r, machine); got.String() != "198.51.100.1:67" {
		t.Errorf("a relay: %v", got)
	}
}

// TestRival: only a server that offers something to boot is one.
func TestRival(t *testing.T) {
	from := netip.MustParseAddr("192.0.2.254")
	offer := func(change func(*dhcpv4.DHCPv4)) []byte {
		m, err := dhcpv4.NewReplyFromRequest(ask(t, dhcpv4.MessageTypeDiscover, 0), dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 254))))
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		return m.ToBytes()
	}
	for _, c := range []struct {
		name string
		data []byte
		want string // empty: none
	}{
		{"only an address", offer(func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(192, 0, 2, 9) }), ""},
		{"a file", offer(func(m *dhcpv4.DHCPv4) { m.BootFileName = "pxelinux.0" }), `192.0.2.254 (it offers "pxelinux.0")`},
		{"a file as option 67", offer(func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptBootFileName("a.efi")) }), `192.0.2.254 (it offers "a.efi")`},
		{"a proxy", offer(func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient")) }), "192.0.2.254"},
		{"escape sequences", offer(func(m *dhcpv4.DHCPv4) { m.BootFileName = "\x1b[2Ja" }), `192.0.2.254 (it offers "[2Ja")`},
		{"this server", offer(func(m *dhcpv4.DHCPv4) {
			m.BootFileName = "a"
			m.UpdateOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1)))
		}), ""},
		{"a question", ask(t, dhcpv4.MessageTypeDiscover, 0).ToBytes(), ""},
		{"nonsense", bytes.Repeat([]byte{255}, 300), ""},
	} {
		r, ok := rivalOf(c.data, from, self)
		if ok != (c.want != "") || ok && r.String() != c.want {
			t.Errorf("%s: got %v, %v", c.name, r, ok)
		}
	}
}

// FuzzParse: every packet has an answer that fits into a frame and can be read, or none.
func FuzzParse(f *testing.F) {
	for _, arch := range []uint16{0, 7, 16} {
		f.Add(ask(f, dhcpv4.MessageTypeDiscover, arch, userClass("iPXE")).ToBytes())
		f.Add(ask(f, dhcpv4.MessageTypeRequest, arch).ToBytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxPacket {
			return
		}
		r, ok := parse(data)
		if !ok {
			return
		}
		for _, a := range []answer{answers().offer(r), answers().acknowledge(r)} {
			if a.packet == nil {
				continue
			}
			sent := a.packet.ToBytes()
			if _, err := dhcpv4.FromBytes(sent); err != nil || len(sent) > 576 {
				t.Errorf("an answer of %d bytes: %v", len(sent), err)
			}
		}
	})
}

// FuzzRival: an answer of another server is read, and its words fit on a terminal.
func FuzzRival(f *testing.F) {
	m := ask(f, dhcpv4.MessageTypeOffer, 0)
	m.OpCode, m.BootFileName = dhcpv4.OpcodeBootReply, "x"
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, ok := rivalOf(data, self, netip.MustParseAddr("192.0.2.9"))
		if ok && (len(r.file) > 128 || printable(r.file) != r.file) {
			t.Errorf("%q", r.file)
		}
	})
}
