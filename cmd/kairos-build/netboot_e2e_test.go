// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netserve"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// What the console says, in this order.
const (
	kernelRuns  = `Linux version`
	rootIsGood  = `kairos-init: switching to the root` // /init has read and verified all of it
	loginPrompt = `from-the-network login:`
)

// bootLimit is the longest time from the kernel's start to the login prompt.
const bootLimit = 10 * time.Minute

// TestNetboot: machines boot from the network, next to the DHCP server that the network has.
func TestNetboot(t *testing.T) {
	for _, test := range []struct {
		name   string
		short  bool // make test boots it, until the root image is verified
		config qemu.Config
		asks   []string // what the machine is, and what it is told to load
		says   string   // the console, before the kernel
	}{
		{"BIOS with iPXE", true, qemu.Config{Boot: qemu.BIOS}, []string{"BIOS with iPXE, http://192.0.2.1/boot.ipxe"}, "kairos: image"},
		{"UEFI", false, qemu.Config{Boot: qemu.UEFI}, []string{"UEFI x64, bootx64.efi"}, "kairos: loading the root image"},
		{"UEFI HTTP", false, qemu.Config{Boot: qemu.UEFI, Network: qemu.Network{HTTP: true}}, []string{"UEFI HTTP x64, http://192.0.2.1/bootx64.efi"}, "kairos: loading the root image"},
		{"Secure Boot", false, qemu.Config{Boot: qemu.SecureBoot}, []string{"UEFI x64, bootx64.efi"}, "kairos: loading the root image"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() && !test.short {
				t.Skip("make prove boots it")
			}
			l := newNetLab(t)
			l.dhcp()
			s := l.serve(l.image, "--cloud-config", l.config())
			vm := l.boot(1, test.config)
			if got, want := asks(s.wait(netserve.Boots, mac(1))), strings.Join(test.asks, "; "); got != want {
				t.Errorf("the machine asked as %s, want %s", got, want)
			}
			ends := loginPrompt
			if testing.Short() {
				ends = rootIsGood
			}
			l.expect(vm, bootLimit, test.says, kernelRuns, ends)
			if test.config.Boot == qemu.SecureBoot {
				l.expect(vm, time.Second, "[Ss]ecure boot enabled")
			}
		})
	}
}

// asks lists what machines asked and were told.
func asks(events []netserve.Event) string {
	var list []string
	for _, e := range events {
		if e.Kind == netserve.Asks {
			list = append(list, e.Text+", "+e.File)
		}
	}
	return strings.Join(list, "; ")
}

// TestNetbootWithoutIPXE: the iPXE that serves as the network card's program says that it is
// another one, so the machine loads undionly.kpxe with it, as every BIOS does. That fetches
// kernel and initrd through the card's program. The root image takes longer than a test may
// in emulation.
func TestNetbootWithoutIPXE(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	l := newNetLab(t)
	l.dhcp()
	ipxe := l.fetchIPXE()
	card := filepath.Join(t.TempDir(), "card.ipxe")
	l.check(os.WriteFile(card, []byte("#!ipxe\nset user-class other\nautoboot\n"), 0o600))
	s := l.serve(l.image, "--ipxe", filepath.Join(ipxe, "usr/lib/ipxe/undionly.kpxe"))
	l.boot(1, qemu.Config{Kernel: filepath.Join(ipxe, "boot/ipxe.lkrn"), Initrd: card})
	told := s.waitFor(func(e netserve.Event) bool { return e.Kind == netserve.Fetched && e.File == netboot.Initrd })
	if got, want := asks(told), "BIOS, undionly.kpxe; BIOS with iPXE, http://192.0.2.1/boot.ipxe"; got != want {
		t.Errorf("the machine asked as %s, want %s", got, want)
	}
}

// fetchIPXE unpacks the Debian package ipxe, which is GPL and no part of this repository.
func (l *netLab) fetchIPXE() string {
	l.t.Helper()
	dir := l.t.TempDir()
	download := exec.CommandContext(l.t.Context(), "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "ipxe")
	download.Dir = dir
	if out, err := download.CombinedOutput(); err != nil {
		l.t.Fatalf("apt-get download ipxe: %v: %s", err, out)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "ipxe_*.deb"))
	if err != nil || len(packages) != 1 {
		l.t.Fatalf("apt-get downloaded %q, %v", packages, err)
	}
	if out, err := exec.CommandContext(l.t.Context(), "dpkg-deb", "--extract", packages[0], dir).CombinedOutput(); err != nil {
		l.t.Fatalf("dpkg-deb: %v: %s", err, out)
	}
	return dir
}

// TestNetbootSideBySide: machines that boot at the same time, each with its own transfers.
func TestNetbootSideBySide(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots them")
	}
	const count = 3
	l := newNetLab(t)
	l.dhcp()
	s := l.serve(l.image, "--cloud-config", l.config())
	var machines []netMachine
	for n := range count {
		machines = append(machines, l.boot(n, qemu.Config{}))
	}
	fetching, most := map[string]bool{}, 0 // the machines that fetch the root image
	for booted := 0; booted < count; {
		e := s.next()
		if e.File == netboot.Live {
			fetching[e.Machine] = e.Kind == netserve.Fetch
		}
		now := 0
		for _, is := range fetching {
			if is {
				now++
			}
		}
		most = max(most, now)
		if e.Kind == netserve.Boots {
			booted++
		}
	}
	if most != count {
		t.Errorf("%d machines fetched at a time, want %d", most, count)
	}
	for _, vm := range machines {
		l.expect(vm, 2*bootLimit, kernelRuns, loginPrompt)
	}
}

// TestNetbootInstalls: an empty machine installs itself over the network, starts from its
// disk, and is not installed again although its firmware tries the network first.
func TestNetbootInstalls(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove installs")
	}
	l := newNetLab(t)
	l.dhcp()
	s := l.serve(l.image, "--cloud-config", l.config(), "--install")
	disk := filepath.Join(t.TempDir(), "empty.raw")
	l.check(qemu.WriteEmpty(disk))
	vm := l.boot(1, qemu.Config{Disk: disk, DiskSize: 16 * layout.GiB})
	s.wait(netserve.Boots, mac(1))
	l.expect(vm, bootLimit, kernelRuns, rootIsGood)
	before := s.wait(netserve.Refused, mac(1))
	if why := before[len(before)-1].Text; !strings.Contains(why, "it got its installation already, and starts from its disk") {
		t.Errorf("the installed machine is not answered because %s", why)
	}
	l.expect(vm, bootLimit, kernelRuns, `kairos: ready slot=a mode=active`, loginPrompt)
}

// TestNetbootAltered: a machine that gets other bytes than those of the image says so, and
// does not start them.
func TestNetbootAltered(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots them")
	}
	for _, test := range []struct{ file, says string }{
		{netboot.Live, `the root image in the initramfs is not the one of this kernel, or it was cut short on its way`},
		{netboot.Initrd, `Initramfs unpacking failed`},
	} {
		t.Run(test.file, func(t *testing.T) {
			l := newNetLab(t)
			l.dhcp()
			dir := filepath.Join(t.TempDir(), "netboot")
			l.check(exec.CommandContext(t.Context(), binary(t), "netboot", l.image, "-o", dir).Run())
			s := l.serve(dir) // it has checked the digests, and holds the files open
			flip(t, filepath.Join(dir, test.file))
			vm := l.boot(1, qemu.Config{NoReboot: true})
			s.wait(netserve.Boots, mac(1))
			l.expect(vm, bootLimit, kernelRuns, test.says)
			if _, found := vm.Console().Find(regexp.MustCompile(rootIsGood)); found {
				t.Error("the altered root was started")
			}
		})
	}
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	b, at := make([]byte, 1), info.Size()/2
	_, readErr := f.ReadAt(b, at)
	b[0] ^= 1
	_, writeErr := f.WriteAt(b, at)
	if err := errors.Join(err, readErr, writeErr, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestNetbootMemory: a machine with too little memory says that it needs more, whoever
// notices.
func TestNetbootMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots them")
	}
	for _, test := range []struct {
		name   string
		config qemu.Config
		says   string
	}{
		{"iPXE", qemu.Config{MemoryMiB: 256}, `too little memory is a common reason`},
		{"the kernel", qemu.Config{MemoryMiB: 640}, `(it|this machine) has \d+ MiB`},
		{"GRUB", qemu.Config{MemoryMiB: 400, Boot: qemu.UEFI}, `too little memory is a common reason`},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newNetLab(t)
			l.dhcp()
			l.serve(l.image)
			l.expect(l.boot(1, test.config), bootLimit, test.says)
		})
	}
}
