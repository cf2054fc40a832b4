// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package pack

import (
	"os"
	"slices"
	"testing"

	"github.com/kairos-build/kairos-build/framework/internal/kmod"
)

// TestMachines looks in the packed modules of a real kernel for the drivers of
// controllers in machines and in virtual machines of other products. The aliases
// are those that Linux shows in sysfs.
func TestMachines(t *testing.T) {
	dir := os.Getenv("KAIROS_E2E_MODULES")
	if dir == "" {
		t.Skip("SKIPPED, NOT PROVEN: set KAIROS_E2E_MODULES")
	}
	index, err := kmod.Read(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	list, err := DefaultList()
	if err != nil {
		t.Fatal(err)
	}
	chosen, _ := choose(index, list)
	for _, m := range machines() {
		t.Run(m.name, func(t *testing.T) {
			if index.Builtin(m.module) {
				return
			}
			if found := index.Resolve(m.alias); !slices.Contains(found, m.module) {
				t.Errorf("%s is not answered by %s but by %q", m.alias, m.module, found)
			}
			if !slices.ContainsFunc(chosen, func(c kmod.Module) bool { return c.Name == m.module }) {
				t.Errorf("module %s is not packed", m.module)
			}
		})
	}
}

type machine struct{ name, alias, module string }

// pci is the modalias of a PCI device.
func pci(vendor, device, class string) string {
	return "pci:v0000" + vendor + "d0000" + device + "sv00000000sd00000000bc" + class[:2] + "sc" + class[2:4] + "i" + class[4:]
}

func machines() []machine {
	return slices.Concat(virtual(), boards(), servers())
}

func virtual() []machine {
	return []machine{
		{"KVM, virtio-blk", "virtio:d00000002v00001AF4", "virtio_blk"},
		{"KVM, virtio-scsi", "virtio:d00000008v00001AF4", "virtio_scsi"},
		{"Firecracker, virtio-mmio", "acpi:LNRO0005:", "virtio_mmio"},
		{"VMware, paravirtual SCSI", pci("15AD", "07C0", "010700"), "vmw_pvscsi"},
		{"VMware, LSI Logic SAS", pci("1000", "0054", "010700"), "mptsas"},
		{"VMware, LSI Logic parallel", pci("1000", "0030", "010000"), "mptspi"},
		{"VMware, BusLogic", pci("104B", "1040", "010000"), "BusLogic"},
		{"VMware, NVMe", pci("15AD", "07F0", "010802"), "nvme"},
		{"VMware, SATA", pci("15AD", "07E0", "010601"), "ahci"},
		{"VirtualBox, IDE", pci("8086", "7111", "01018A"), "ata_piix"},
		{"VirtualBox, SATA", pci("8086", "2829", "010601"), "ahci"},
		{"VirtualBox, NVMe", pci("80EE", "4E56", "010802"), "nvme"},
		{"Hyper-V, bus", "acpi:VMBUS:", "hv_vmbus"},
		{"Hyper-V, SCSI of generation 2", "vmbus:d96361baa104294db60572e2ffb1dc7f", "hv_storvsc"},
		{"Hyper-V, IDE of generation 1", "vmbus:32264132cb86a2449b5c50d1417354f5", "hv_storvsc"},
		{"Xen", "xen:vbd", "xen_blkfront"},
		{"QEMU, LSI", pci("1000", "0012", "010000"), "sym53c8xx"},
	}
}

func boards() []machine {
	return []machine{
		{"any card of a slot", "mmc:block", "mmc_block"},
		{"eMMC on PCI, Apollo Lake", pci("8086", "5ACC", "080501"), "sdhci_pci"},
		{"eMMC on ACPI, Bay Trail", "acpi:80860F14:", "sdhci_acpi"},
		{"eMMC on ACPI, AMD", "acpi:AMDI0040:", "sdhci_acpi"},
		{"card reader, Realtek on PCI", pci("10EC", "5227", "FF0000"), "rtsx_pci"},
		{"its slot", "platform:rtsx_pci_sdmmc", "rtsx_pci_sdmmc"},
		{"card reader, Realtek on USB", "usb:v0BDAp0129d3960dcFFdscFFdpFFicFFisc06ip50in00", "rtsx_usb"},
		{"its slot on USB", "platform:rtsx_usb_sdmmc", "rtsx_usb_sdmmc"},
		{"card reader, Alcor", pci("1AEA", "6621", "FF0000"), "alcor_pci"},
		{"card-detect pin, Jasper Lake", "acpi:INT34C8:", "pinctrl_jasperlake"},
		{"UFS", pci("8086", "9DFA", "010901"), "ufshcd_pci"},
		{"NVMe", pci("144D", "A808", "010802"), "nvme"},
		{"NVMe behind Intel's VMD", pci("8086", "9A0B", "010400"), "vmd"},
		{"USB stick", "usb:v0951p1666d0110dc00dsc00dp00ic08isc06ip50in00", "usb_storage"},
		{"USB disk with UAS", "usb:v174Cp55AAd0100dc00dsc00dp00ic08isc06ip62in00", "uas"},
		{"USB 3", pci("8086", "A36D", "0C0330"), "xhci_pci"},
		{"USB 2", pci("8086", "1C26", "0C0320"), "ehci_pci"},
		{"USB 1, Intel", pci("8086", "7112", "0C0300"), "uhci_hcd"},
		{"USB 1, others", pci("1022", "2094", "0C0310"), "ohci_pci"},
		{"SATA, Marvell", pci("1B4B", "9230", "010601"), "ahci"},
		{"SATA, ASMedia", pci("1B21", "0612", "010601"), "ahci"},
		{"IDE of a Geode board", pci("100B", "0502", "010180"), "ata_generic"},
		{"IDE, Intel SCH", pci("8086", "811A", "010180"), "pata_sch"},
		{"IDE, ATI", pci("1002", "439C", "01018A"), "pata_atiixp"},
	}
}

func servers() []machine {
	return []machine{
		{"Dell PERC H730", pci("1000", "005D", "010400"), "megaraid_sas"},
		{"Broadcom 9300", pci("1000", "0097", "010700"), "mpt3sas"},
		{"Broadcom 9600", pci("1000", "00A5", "010700"), "mpi3mr"},
		{"HPE Smart Array", pci("103C", "323B", "010400"), "hpsa"},
		{"HPE, Microchip", pci("9005", "028F", "010700"), "smartpqi"},
		{"Adaptec 7", pci("9005", "028C", "010400"), "aacraid"},
		{"Intel C600 SAS", pci("8086", "1D60", "010700"), "isci"},
		{"Marvell SAS", pci("1B4B", "9485", "010400"), "mvsas"},
		{"PMC SAS", pci("11F8", "8001", "010700"), "pm80xx"},
	}
}
