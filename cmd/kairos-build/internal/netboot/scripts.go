// SPDX-License-Identifier: Apache-2.0

package netboot

import (
	"fmt"
	"strings"
)

// IPXE returns the script of iPXE (https://ipxe.org/scripting). base is put before the
// names of the files: a URL with a slash at its end, or nothing for the script's own
// folder. Under UEFI the kernel asks for its initrd by the name that iPXE gives to all of
// them together.
func (b *Boot) IPXE(base string) []byte {
	var s strings.Builder
	s.WriteString("#!ipxe\n# Boots an immutable node image from the network. Made by kairos-build netboot.\n")
	fmt.Fprintf(&s, "echo kairos: image %s, root hash %s\n", orNone(b.Version), b.RootHash)
	s.WriteString("iseq ${platform} efi && set magic initrd=initrd.magic ||\n")
	fmt.Fprintf(&s, "kernel %s ${magic} %s || goto failed\n", base+Kernel, b.Cmdline)
	for _, name := range b.Initrds() {
		fmt.Fprintf(&s, "initrd %s || goto failed\n", base+name)
	}
	s.WriteString("boot || goto failed\n:failed\n")
	s.WriteString("echo kairos: this machine did not boot from the network; the lines above say why.\n")
	fmt.Fprintf(&s, "echo kairos: too little memory is a common reason: it needs %d MiB.\n", b.memory())
	s.WriteString("sleep 15\nexit 1\n")
	return []byte(s.String())
}

// GRUBConfig returns the configuration of the network GRUB. device is where it loads the
// files from: "http,192.0.2.1" or "http,192.0.2.1:8080", or nothing for the server that
// GRUB itself came from. GRUB before 2.12 knows no port.
func (b *Boot) GRUBConfig(device string) []byte {
	if device == "" {
		device = "$root"
	}
	file := func(name string) string { return "(" + device + ")/" + name }
	var s strings.Builder
	s.WriteString("# Boots an immutable node image from the network. Made by kairos-build netboot.\n")
	fmt.Fprintf(&s, "set kairos_cmdline=\"%s\"\n", b.Cmdline)
	fmt.Fprintf(&s, "echo \"kairos: image %s, root hash %s\"\n", orNone(b.Version), b.RootHash)
	fmt.Fprintf(&s, "echo \"kairos: loading the kernel from %s ...\"\n", file(Kernel))
	fmt.Fprintf(&s, "if linux %s $kairos_cmdline; then\n", file(Kernel))
	s.WriteString("  echo \"kairos: loading the root image ...\"\n")
	s.WriteString("  if initrd")
	for _, name := range b.Initrds() {
		s.WriteString(" " + file(name))
	}
	s.WriteString("; then\n    boot\n  fi\nfi\n")
	s.WriteString("echo \"kairos: this machine did not boot from the network; the lines above say why.\"\n")
	fmt.Fprintf(&s, "echo \"kairos: too little memory is a common reason: it needs %d MiB.\"\n", b.memory())
	s.WriteString("sleep 15\nexit\n")
	return []byte(s.String())
}

func orNone(version string) string {
	if version == "" {
		return "without a version"
	}
	return version
}
