// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// oneEach puts each option, with its value, on its own line.
func oneEach(args []string) string {
	var b strings.Builder
	for _, a := range args {
		if strings.HasPrefix(a, "-") && b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(a + " ")
	}
	return strings.ReplaceAll(b.String(), " \n", "\n") + "\n"
}

func TestArgs(t *testing.T) {
	uefi := Firmware{Code: Flash{"/fw/code.fd", "raw"}, Vars: Flash{"/vm/vars.fd", "raw"}}
	arm := Host{Version: Version{10, 0, 0}, Arch: "arm64"}
	secure := uefi
	secure.SMM = true
	tests := []struct {
		name string
		m    machine
	}{
		{"bios", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}})}, disks: []string{"/vm/disk0.qcow2"}}},
		{"nowatchdog", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), Chipset: I440FX, CDROMs: []string{"/cd.iso"}}, disks: []string{"/vm/disk0.qcow2"}}},
		{"tpm", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), TPM: "/vm/tpm"}, disks: []string{"/vm/disk0.qcow2"}}},
		{"uefi", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), Boot: UEFI, MemoryMiB: 2048, SMP: 4}, firmware: uefi, disks: []string{"/vm/a,b.qcow2", "/vm/disk1.qcow2"}}},
		{"writelog", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), WriteLog: "/vm/writes,all.log"}, disks: []string{"/vm/disk0.qcow2", "/vm/disk1.qcow2"}}},
		{"secureboot", machine{Config: Config{Accel: Accelerator{"kvm", "kvm", "host", 2}, Boot: SecureBoot, CDROMs: []string{"/cd.iso", "/cidata.iso"}}, firmware: secure}},
		{"cdfirst", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), CDFirst: true, SectorSize: 4096, CDROMs: []string{"/cd.iso", "/cidata.iso"}}, disks: []string{"/vm/disk0.qcow2"}}},
		{"kernel", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), Kernel: "/vmlinuz", Initrd: "/initrd", Append: "console=ttyS0 panic=1", NoReboot: true, Forwards: []int{22, 6443}}}},
		{"netboot", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), Network: Network{Boot: true, TFTP: "/net,boot", BootFile: "http://10.0.2.2:8080/boot.ipxe"}}}},
		{"netbootlast", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), CDROMs: []string{"/cd.iso"}, Network: Network{Boot: true, Last: true, TFTP: "/netboot", BootFile: "boot.ipxe"}}, disks: []string{"/vm/disk0.qcow2"}}},
		{"tap", machine{Config: Config{Accel: TCG(Host{Version: Version{7, 2, 0}}), Boot: UEFI, Network: Network{Boot: true, HTTP: true, TAP: os.Stdin, MAC: "52:54:00:00:00:01"}}, firmware: uefi}},
		{"arm64", machine{Config: Config{Host: arm, Accel: TCG(arm), TPM: "/vm/tpm", CDROMs: []string{"/cd.iso", "/cidata.iso"}}, firmware: uefi, disks: []string{"/vm/disk0.qcow2"}}},
		{"arm64plain", machine{Config: Config{Host: arm, Accel: TCG(arm), Boot: SecureBoot, Chipset: VirtPlain}, firmware: uefi, disks: []string{"/vm/disk0.qcow2"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.m.Config = tt.m.withDefaults()
			golden.Check(t, filepath.Join("testdata", tt.name+".args"), oneEach(tt.m.args()))
		})
	}
}

func TestChipset(t *testing.T) {
	for _, b := range []Boot{UEFI, SecureBoot} {
		_, err := Start(t.Context(), Config{Chipset: I440FX, Boot: b})
		if err == nil || !strings.Contains(err.Error(), "use BIOS") {
			t.Errorf("%s: got %v, want that it says to use BIOS", b, err)
		}
	}
	_, err := Start(t.Context(), Config{Host: Host{Arch: "arm64"}, Boot: BIOS})
	if err == nil || !strings.Contains(err.Error(), "a machine of arm64 with firmware bios: there are [uefi secureboot]") {
		t.Errorf("got %v", err)
	}
}

func TestKernelArch(t *testing.T) {
	kernel := func(offset int, mark string) []byte { return append(make([]byte, offset), mark+"..."...) }
	for want, data := range map[string][]byte{"amd64": kernel(0x202, "HdrS"), "arm64": kernel(0x38, "ARM\x64")} {
		if got, err := KernelArch(data); got != want || err != nil {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
	}
	for _, data := range [][]byte{nil, kernel(0x201, "HdrS"), kernel(0x38, "RSC\x05")} {
		if got, err := KernelArch(data); err == nil || !strings.Contains(err.Error(), "for none of amd64, arm64") {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestTCGIsSafe(t *testing.T) {
	if a := TCG(Host{Version: Version{7, 2, 22}}); a.SMP != 1 || a.Arg != "tcg,thread=single,tb-size=128" {
		t.Errorf("QEMU 7.2: got %+v, want one CPU and one thread", a)
	}
	if a := TCG(Host{Version: Version{9, 9, 9}}); a.SMP != 1 || a.Arg != "tcg,thread=single,tb-size=128" {
		t.Errorf("QEMU 9.9: got %+v, want one CPU and one thread", a)
	}
	if a := TCG(Host{Version: Version{10, 0, 0}}); a.Arg != "tcg,thread=multi,tb-size=128" {
		t.Errorf("QEMU 10: got %+v, want many threads", a)
	}
}

func TestCrashed(t *testing.T) {
	crash, panicked := error(&GuestError{Fault: KernelCrashed}), error(&GuestError{Fault: KernelPanicked})
	tcg := TCG(Host{Version: Version{7, 2, 22}})
	for _, c := range []struct {
		name  string
		accel Accelerator
		err   error
		want  bool
	}{
		{"a crash in emulation", tcg, fmt.Errorf("booting: %w", crash), true},
		{"a crash with KVM", KVM(), crash, false},
		{"a panic", tcg, panicked, false},
		{"nothing", tcg, nil, false},
	} {
		if got := c.accel.Crashed(c.err); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestCrashLine(t *testing.T) {
	tcg := TCG(Host{Version: Version{7, 2, 22}})
	for _, c := range []struct {
		name, line string
		accel      Accelerator
		want       bool
	}{
		{"Debian 12", "[    1.2] double fault: 0000 [#1] PREEMPT SMP NOPTI", tcg, true},
		{"Debian 13", "[    1.2] Oops: double fault: 0000 [#1] PREEMPT SMP NOPTI", tcg, true},
		{"a page fault", "[    1.2] BUG: unable to handle page fault for address: ffffffff00000000", tcg, true},
		{"a host that stood still", "[   61.0] watchdog: BUG: soft lockup - CPU#0 stuck for 63s! [swapper/0:0]", tcg, true},
		{"with KVM", "[    1.2] double fault: 0000 [#1] PREEMPT SMP NOPTI", KVM(), false},
		{"a panic that was asked for", "[   68.6] Kernel panic - not syncing: sysrq triggered crash", tcg, false},
		{"a PCI device", "[    0.3] pci 0000:00:00.0: [8086:29c0] type 00 class 0x060000", tcg, false},
	} {
		console := newConsole(io.Discard, "console.log", nil)
		if err := console.feed(strings.NewReader("Linux version 6\n"+c.line+"\nlast\n"), io.Discard); err != nil {
			t.Fatal(err)
		}
		if got, found := c.accel.CrashLine(console); found != c.want || found && got != c.line {
			t.Errorf("%s: got %q, %v", c.name, got, found)
		}
	}
}
