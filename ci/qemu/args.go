// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"strconv"
	"strings"
)

// Descriptors of the child process: ExtraFiles of exec.Cmd begin at 3.
const (
	consoleFD  = 3
	qmpFD      = 4
	incomingFD = 5
	tapFD      = 6
	tpmFD      = 7
)

// A machine is a Config whose files are in place.
type machine struct {
	Config
	firmware Firmware // Vars.Path is this machine's own copy
	disks    []string // qcow2 overlays, in the order of Disk, ExtraDisks
}

// args is QEMU's command line. It depends only on the machine.
func (m machine) args() []string {
	var a []string
	add := func(args ...string) { a = append(a, args...) }
	add("-nodefaults", "-no-user-config", "-display", "none")
	add("-machine", m.machineType())
	add(m.watchdogArgs()...)
	add("-accel", m.Accel.Arg, "-cpu", m.Accel.CPU)
	add("-smp", strconv.Itoa(m.SMP), "-m", strconv.Itoa(m.MemoryMiB))
	add(m.firmwareArgs()...)
	add("-chardev", fmt.Sprintf("socket,id=console,fd=%d", consoleFD), "-serial", "chardev:console")
	add("-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", qmpFD), "-mon", "chardev=qmp,mode=control")
	add("-device", "virtio-rng-pci")
	add(m.tpmArgs()...)
	add(m.networkArgs()...)
	add(m.diskArgs()...)
	add(m.kernelArgs()...)
	if m.NoReboot {
		add("-no-reboot")
	}
	return a
}

// machineType has graphics off, so that SeaBIOS and with it GRUB write to the
// serial line.
func (m machine) machineType() string {
	if m.virt() {
		return string(Virt) // it has no graphics
	}
	if m.firmware.SMM {
		return string(m.Chipset) + ",graphics=off,smm=on"
	}
	return string(m.Chipset) + ",graphics=off"
}

// virt tells whether the machine is QEMU's own for arm64.
func (m machine) virt() bool { return m.Chipset == Virt || m.Chipset == VirtPlain }

// watchdogArgs let the chipset's watchdog reset the machine, as on hardware. QEMU straps
// that of Q35 off by default, and the driver cannot see it.
func (m machine) watchdogArgs() []string {
	switch m.Chipset {
	case Q35:
		return []string{"-global", "ICH9-LPC.noreboot=off"}
	case Virt:
		return []string{"-device", "i6300esb"}
	}
	return nil
}

func (m machine) firmwareArgs() []string {
	if m.Boot == BIOS {
		return nil
	}
	flash := func(f Flash, unit int, options string) string {
		return fmt.Sprintf("if=pflash,unit=%d,format=%s%s,file=%s", unit, f.Format, options, quote(f.Path))
	}
	args := []string{
		"-drive", flash(m.firmware.Code, 0, ",readonly=on"),
		"-drive", flash(m.firmware.Vars, 1, ""),
	}
	if m.Chipset == Q35 {
		args = append(args, "-global", "ICH9-LPC.disable_s3=1") // OVMF with SMM and S3 needs more options
	}
	if m.firmware.SMM {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	return args
}

// diskArgs attach disks and CD-ROMs. They number the boot indexes from 1, as 0 belongs to
// -kernel or to the network.
func (m machine) diskArgs() []string {
	firstDisk, firstCD := m.bootIndexes()
	var a, drives []string
	for i, path := range m.disks {
		if i == 0 && m.WriteLog != "" {
			a = append(a, m.loggedArgs(path)...)
		} else {
			a = append(a, "-drive", fmt.Sprintf("if=none,id=disk%d,format=qcow2,discard=unmap,file=%s", i, quote(path)))
		}
		drives = append(drives, fmt.Sprintf("disk%d", i))
	}
	a = append(a, m.Bus.Args(firstDisk, m.SectorSize, drives...)...)
	if m.virt() && len(m.CDROMs) > 0 {
		a = append(a, "-device", "virtio-scsi-pci,id=cdroms")
	}
	for i, path := range m.CDROMs {
		a = append(a,
			"-drive", fmt.Sprintf("if=none,id=cdrom%d,media=cdrom,format=raw,readonly=on,file=%s", i, quote(path)),
			"-device", fmt.Sprintf("%sdrive=cdrom%d,bootindex=%d", m.cdrom(i), i, firstCD+i))
	}
	return a
}

// bootIndexes returns the places of the first disk and of the first CD-ROM in the
// firmware's boot order. 0 belongs to -kernel.
func (m machine) bootIndexes() (disk, cd int) {
	if m.CDFirst {
		return 1 + len(m.CDROMs), 1
	}
	return 1, 1 + len(m.disks)
}

// lastPort is the number of the last SATA port of Q35.
const lastPort = 5

// cdrom is the device of the drive i, with its port. A SATA port takes one drive, and QEMU puts
// two on the first one. Disks have the first ports; an i440FX has two places for drives by
// itself. Virt has no SATA: its drives are SCSI.
func (m machine) cdrom(i int) string {
	switch {
	case m.virt():
		return "scsi-cd,bus=cdroms.0,"
	case m.Chipset == I440FX || len(m.CDROMs) == 1:
		return "ide-cd,"
	}
	return fmt.Sprintf("ide-cd,bus=ide.%d,", lastPort-i)
}

// loggedArgs attach the first disk behind a driver that logs its writes.
func (m machine) loggedArgs(path string) []string {
	return []string{
		"-blockdev", "driver=file,node-name=disk0-file,discard=unmap,filename=" + quote(path),
		"-blockdev", "driver=qcow2,node-name=disk0-image,discard=unmap,file=disk0-file",
		"-blockdev", "driver=file,node-name=disk0-log,filename=" + quote(m.WriteLog),
		"-blockdev", "driver=blklogwrites,node-name=disk0,discard=unmap,file=disk0-image,log=disk0-log,log-sector-size=512",
	}
}

func (m machine) kernelArgs() []string {
	var a []string
	for _, f := range [][2]string{{"-kernel", m.Kernel}, {"-initrd", m.Initrd}, {"-append", m.Append}} {
		if f[1] != "" {
			a = append(a, f[0], f[1])
		}
	}
	return a
}

// quote doubles commas, as QEMU wants for a comma in a value.
func quote(value string) string { return strings.ReplaceAll(value, ",", ",,") }
