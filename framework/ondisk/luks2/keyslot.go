// SPDX-License-Identifier: Apache-2.0

package luks2

import (
	"crypto/aes"
	"crypto/pbkdf2"
	"crypto/sha1" // old headers have it, and their owner chose it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/xts"
)

// Limits of what a header may ask for: it is read before anything vouches for it.
const (
	maxMemory     = 1 << 20 // KiB; cryptsetup's own limit by default
	maxTime       = 1 << 12
	maxLanes      = 64
	maxIterations = 1 << 28
	maxSalt       = 1 << 10
)

func hashOf(name string) (func() hash.Hash, error) {
	switch name {
	case "sha256":
		return sha256.New, nil
	case "sha512":
		return sha512.New, nil
	case "sha1":
		return sha1.New, nil
	}
	return nil, fmt.Errorf("%w: the hash %q", ErrUnsupported, name)
}

// ForPeople makes a key from a passphrase that a person has chosen: Argon2id with the second
// set of parameters that RFC 9106 recommends, 64 MiB of memory, since /init may have little.
func ForPeople() KDF { return KDF{Type: "argon2id", Time: 3, Memory: 64 << 10, CPUs: 4} }

// ForRandom makes a key from a passphrase of 32 random bytes or more, which nobody can guess:
// the work is the least that cryptsetup accepts, as in systemd-cryptenroll.
func ForRandom() KDF { return KDF{Type: "pbkdf2", Hash: "sha512", Iterations: 1000} }

func (k KDF) check() error {
	switch k.Type {
	case "argon2id", "argon2i":
		if k.Time < 1 || k.Time > maxTime || k.Memory < 8*k.CPUs || k.Memory > maxMemory || k.CPUs < 1 || k.CPUs > maxLanes {
			return fmt.Errorf("%w: %s with %d passes, %d KiB and %d lanes", ErrUnsupported, k.Type, k.Time, k.Memory, k.CPUs)
		}
	case "pbkdf2":
		if k.Iterations < 1 || k.Iterations > maxIterations {
			return fmt.Errorf("%w: pbkdf2 with %d iterations", ErrUnsupported, k.Iterations)
		}
	default:
		return fmt.Errorf("%w: the key derivation %q", ErrUnsupported, k.Type)
	}
	if len(k.Salt) > maxSalt {
		return fmt.Errorf("%w: a salt of %d bytes", ErrUnsupported, len(k.Salt))
	}
	return nil
}

// derive makes a key of size bytes.
func (k KDF) derive(passphrase []byte, size int) ([]byte, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	switch k.Type {
	case "argon2id":
		return argon2.IDKey(passphrase, k.Salt, k.Time, k.Memory, uint8(k.CPUs), uint32(size)), nil
	case "argon2i":
		return argon2.Key(passphrase, k.Salt, k.Time, k.Memory, uint8(k.CPUs), uint32(size)), nil
	}
	h, err := hashOf(k.Hash)
	if err != nil {
		return nil, err
	}
	return pbkdf2.Key(h, string(passphrase), k.Salt, k.Iterations, size)
}

// newXTS is the cipher for a key of 32 or 64 bytes.
func newXTS(key []byte) (*xts.Cipher, error) { return xts.NewCipher(aes.NewCipher, key) }

// eachSector calls do with sectors of a size and their tweaks. b is a multiple of size, and
// begins at offset.
func eachSector(b []byte, offset, size int64, do func(sector []byte, tweak uint64)) {
	for at := int64(0); at < int64(len(b)); at += size {
		do(b[at:at+size], uint64((offset+at)/tweakSector))
	}
}

// spread makes stripes times the length of key, of which every byte is needed to get the
// key back. filler are random bytes of all stripes but one.
func spread(key, filler []byte, h func() hash.Hash) []byte {
	d := make([]byte, len(key))
	for s := range len(filler) / len(key) {
		xor(d, filler[s*len(key):])
		diffuse(d, h)
	}
	xor(d, key)
	return append(filler, d...)
}

// gather is the reverse of spread.
func gather(spread []byte, size int, h func() hash.Hash) []byte {
	d := make([]byte, size)
	last := len(spread) - size
	for at := 0; at < last; at += size {
		xor(d, spread[at:])
		diffuse(d, h)
	}
	xor(d, spread[last:])
	return d
}

func xor(d, b []byte) {
	for i := range d {
		d[i] ^= b[i]
	}
}

// diffuse replaces each piece of d, as long as a hash, by the hash of its number and itself.
func diffuse(d []byte, newHash func() hash.Hash) {
	h := newHash()
	for i, at := 0, 0; at < len(d); i, at = i+1, at+h.Size() {
		piece := d[at:min(at+h.Size(), len(d))]
		h.Reset()
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
		h.Write(piece)
		copy(piece, h.Sum(nil))
	}
}
