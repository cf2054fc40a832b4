// SPDX-License-Identifier: Apache-2.0

// Package luks2 writes and reads the header of an encrypted volume, from the "LUKS2
// On-Disk Format Specification" 1.1.1 of the cryptsetup project. It works on bytes:
// framework/internal/dm has the kernel decrypt a device, framework/internal/tpm2 keeps a
// passphrase in a TPM.
//
// # The format
//
//	0          first header: 4096 bytes binary, then the metadata, JSON
//	16 KiB     second header, the same with another magic
//	32 KiB     keyslots: for each passphrase, the volume key under it
//	16 MiB     the data (DataOffset of what we write)
//
// The binary header, big endian: magic "LUKS\xba\xbe" or "SKUL\xba\xbe" at 0, version at 6,
// size with the metadata at 8, sequence number at 16, checksum algorithm at 72, salt at 104,
// UUID at 168, the program that made it at 208 ("subsystem"), its own offset at 256, checksum at 448 (over header and metadata, with zeros
// in its place). Of two valid headers the one with the higher sequence number counts.
//
// A keyslot is the volume key, spread over 4000 stripes (so that a medium that keeps a copy
// of one sector keeps nothing), and encrypted with a key that a function such as Argon2
// makes from the passphrase. Data and keyslots are encrypted with AES in XTS mode. The
// number of a sector of 512 bytes, counted from the beginning of the data, is its tweak
// ("plain64"), also where larger sectors are encrypted at once.
//
// Only this cipher is written and read: a header that asks for another one, such as a cipher
// that does nothing, is refused.
package luks2

import "errors"

// Sizes in bytes.
const (
	// DataOffset is where the data of a volume that we write begins, as with cryptsetup.
	DataOffset = 16 << 20
	// SectorSize is how much is encrypted at once in a volume that we write.
	SectorSize = 4096

	headerSize   = 16 << 10 // of one header, with its metadata
	binarySize   = 4096
	keyslotsAt   = 2 * headerSize
	tweakSector  = 512
	keySize      = 64 // of AES-256 in XTS mode: two keys
	stripes      = 4000
	keyslotSize  = (keySize*stripes + 4095) / 4096 * 4096
	maxHeader    = 4 << 20 // the largest that the specification has
	cipherName   = "aes-xts-plain64"
	magicFirst   = "LUKS\xba\xbe"
	magicSecond  = "SKUL\xba\xbe"
	checksumAt   = 448
	checksumSize = 64
)

// Cipher is the cipher of the data, by the kernel's name.
const Cipher = cipherName

// Subsystem says in the header of a volume that we made it: `cryptsetup luksDump` shows it.
const Subsystem = "kairos"

var (
	// ErrNone says that there is no header.
	ErrNone = errors.New("no LUKS2 header")
	// ErrDamaged says that neither header is whole.
	ErrDamaged = errors.New("the LUKS2 header is damaged")
	// ErrUnsupported says that a header asks for something that this package does not do.
	ErrUnsupported = errors.New("not supported in a LUKS2 header")
	// ErrPassphrase says that no keyslot opens with a passphrase.
	ErrPassphrase = errors.New("no keyslot opens with this passphrase")
)
