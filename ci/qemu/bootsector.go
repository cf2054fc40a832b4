// SPDX-License-Identifier: Apache-2.0

package qemu

// exitPort is the I/O port of the isa-debug-exit device. When a guest writes value there,
// QEMU ends with the status value<<1 | 1.
const (
	exitPort   = 0xf4
	exitValue  = 0x10
	exitStatus = exitValue<<1 | 1
)

// bootSectorSize is one MiB: SeaBIOS reads nothing from a disk of one sector.
const bootSectorSize = 1 << 20

// bootSector returns a disk with a minimal guest in its boot sector: 16-bit code that
// writes "K" to the first serial port and ends QEMU.
func bootSector() []byte {
	code := []byte{
		0xba, 0xf8, 0x03, // mov dx, 0x3f8   ; COM1
		0xb0, 'K', //        mov al, 'K'
		0xee,                 //             out dx, al
		0xba, exitPort, 0x00, // mov dx, exitPort
		0xb0, exitValue, //      mov al, exitValue
		0xee,       //           out dx, al
		0xf4,       //     halt: hlt
		0xeb, 0xfd, //           jmp halt
	}
	disk := make([]byte, bootSectorSize)
	copy(disk, code)
	disk[510], disk[511] = 0x55, 0xaa // signature of a boot sector
	return disk
}
