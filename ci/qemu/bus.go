// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Bus is a way to attach a machine's disks. It decides which drivers the firmware, the
// boot loader and the kernel need.
type Bus string

// The buses. Common hypervisors use VirtioBlk and VirtioSCSI (KVM), PVSCSI (VMware), AHCI
// and IDE (VirtualBox). QEMU 7.2 has no eMMC; for drivers it is like SD. Its LSI SAS 1068
// (mptsas1068) is left out: the driver of Linux 6.12 takes the controller and sees no
// disk.
const (
	VirtioBlk  Bus = "virtio-blk"
	VirtioSCSI Bus = "virtio-scsi"
	AHCI       Bus = "ahci"
	NVMe       Bus = "nvme"
	IDE        Bus = "ide" // on I440FX only
	USB1       Bus = "usb-uhci"
	USB2       Bus = "usb-ehci"
	USB3       Bus = "usb-xhci"
	UAS        Bus = "usb-uas"
	SD         Bus = "sd"
	PVSCSI     Bus = "pvscsi"
	MegaSAS    Bus = "megasas"
	LSI        Bus = "lsi"
)

// An attachment holds QEMU's devices of a bus: its controllers, and the device of a disk,
// in which %d is the disk's number.
type attachment struct {
	bus         Bus
	controllers []string
	disk        string
}

// attachments returns the attachments of all buses.
func attachments() []attachment {
	return []attachment{
		{VirtioBlk, nil, "virtio-blk-pci"},
		{VirtioSCSI, []string{"virtio-scsi-pci,id=hba"}, "scsi-hd,bus=hba.0"},
		{AHCI, []string{"ahci,id=hba"}, "ide-hd,bus=hba.%d"},
		{NVMe, nil, "nvme,serial=disk%d"},
		{IDE, nil, "ide-hd"},
		{USB1, []string{"piix3-usb-uhci,id=hba"}, "usb-storage,bus=hba.0"},
		{USB2, []string{"usb-ehci,id=hba"}, "usb-storage,bus=hba.0,removable=on"},
		{USB3, []string{"qemu-xhci,id=hba"}, "usb-storage,bus=hba.0,removable=on"},
		{UAS, []string{"qemu-xhci,id=hba", "usb-uas,id=uas,bus=hba.0"}, "scsi-hd,bus=uas.0"},
		{SD, []string{"sdhci-pci"}, "sd-card"},
		{PVSCSI, []string{"pvscsi,id=hba"}, "scsi-hd,bus=hba.0"},
		{MegaSAS, []string{"megasas,id=hba"}, "scsi-hd,bus=hba.0"},
		{LSI, []string{"lsi53c895a,id=hba"}, "scsi-hd,bus=hba.0"},
	}
}

// Buses lists all buses.
func Buses() []Bus {
	var list []Bus
	for _, a := range attachments() {
		list = append(list, a.bus)
	}
	return list
}

// Args returns QEMU's arguments for disks on the bus. drives are the ids of their drives
// in boot order, of which the first has the place first. sector is the size of a sector in
// bytes; 0 is the usual one. An SD card has no place in the order, and no other sectors.
func (b Bus) Args(first, sector int, drives ...string) []string {
	all := attachments()
	i := slices.IndexFunc(all, func(a attachment) bool { return a.bus == b })
	if i < 0 {
		panic(fmt.Sprintf("BUG: unknown bus %q", b))
	}
	var args []string
	for _, c := range all[i].controllers {
		args = append(args, "-device", c)
	}
	for n, drive := range drives {
		disk := strings.ReplaceAll(all[i].disk, "%d", strconv.Itoa(n)) + ",drive=" + drive
		if b != SD {
			disk += fmt.Sprintf(",bootindex=%d", first+n)
		}
		if b != SD && sector != 0 {
			disk += fmt.Sprintf(",logical_block_size=%[1]d,physical_block_size=%[1]d", sector)
		}
		args = append(args, "-device", disk)
	}
	return args
}
