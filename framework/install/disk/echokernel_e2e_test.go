// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package disk_test

import "encoding/binary"

// The address of the kernel below, and the offsets of the fields in its header: Linux'
// boot protocol, version 2.06 (Documentation/arch/x86/boot.rst of the kernel).
const (
	kernelBase = 0x100000

	setupSectors  = 0x1f1
	bootFlag      = 0x1fe
	headerMagic   = 0x202
	headerVersion = 0x206
	loadFlags     = 0x211
	codeStart     = 0x214
	initrdMax     = 0x22c
	cmdlineSize   = 0x238
)

// echoSays is what echoKernel prints before its arguments.
const echoSays = "a kernel that prints its arguments"

// echoKernel is a kernel that only prints its arguments on the first serial line, as
// Linux does. GRUB treats both the same, but Linux takes four times as long to print
// that line.
func echoKernel() []byte {
	header := make([]byte, 1024) // the boot sector and one sector of setup
	header[setupSectors] = 1
	binary.LittleEndian.PutUint16(header[bootFlag:], 0xaa55)
	copy(header[headerMagic:], "HdrS")
	binary.LittleEndian.PutUint16(header[headerVersion:], 0x0206)
	header[loadFlags] = 1 // the code goes to kernelBase
	binary.LittleEndian.PutUint32(header[codeStart:], kernelBase)
	binary.LittleEndian.PutUint32(header[initrdMax:], 0x37ffffff)
	binary.LittleEndian.PutUint32(header[cmdlineSize:], 2047)
	return append(append(header, echoCode()...), echoSays+"\nKernel command line: \x00"...)
}

// echoCode is 32-bit code. At entry, esi holds the address of the boot parameters.
func echoCode() []byte {
	code := []byte{
		0xfc,                               // cld
		0x8b, 0xae, 0x28, 0x02, 0x00, 0x00, // mov ebp, [esi+0x228]: the arguments
		0xbe, 0x00, 0x00, 0x00, 0x00, // mov esi, the text behind the code
		0xe8, 0x0d, 0x00, 0x00, 0x00, // call print
		0x89, 0xee, // mov esi, ebp
		0xe8, 0x06, 0x00, 0x00, 0x00, // call print
		0xb0, 0x0a, // mov al, '\n'
		0xee,       // out dx, al
		0xf4,       // hlt: interrupts are off
		0xeb, 0xfd, // jmp to hlt, not reached
		// print the string at esi; dx is the data port afterwards
		0xac,       // lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x12, // jz to ret
		0x88, 0xc4, // mov ah, al
		0x66, 0xba, 0xfd, 0x03, // mov dx, 0x3fd: line status
		0xec,       // in al, dx
		0xa8, 0x20, // test al, 0x20: room for a byte
		0x74, 0xfb, // jz to in
		0x88, 0xe0, // mov al, ah
		0xb2, 0xf8, // mov dl, 0xf8: data
		0xee,       // out dx, al
		0xeb, 0xe9, // jmp to lodsb
		0xc3, // ret
	}
	binary.LittleEndian.PutUint32(code[8:], kernelBase+uint32(len(code)))
	return code
}
