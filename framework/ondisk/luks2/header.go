// SPDX-License-Identifier: Apache-2.0

package luks2

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"golang.org/x/crypto/xts"
)

// A Header is the header of a volume that exists.
type Header struct {
	UUID      string
	Subsystem string // who made it, or empty; Subsystem for a volume of this package
	Metadata  Metadata
	sequence  uint64
}

// Data is where the data of a volume is and how to decrypt it.
type Data struct {
	Key        []byte
	Offset     int64 // bytes from the beginning of the device
	SectorSize int64 // bytes
	IVOffset   int64 // added to the number of a sector, in units of 512 bytes
}

// Is tells whether a device begins like a LUKS volume of version 1 or 2. That costs one read
// of a few bytes.
func Is(r io.ReaderAt) (bool, error) {
	b := make([]byte, len(magicFirst))
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(b) == magicFirst, nil
}

// Read reads the header of a device: the newer one of the two that are whole. Errors are
// ErrNone, ErrDamaged, ErrUnsupported, and those of r.
func Read(r io.ReaderAt) (*Header, error) {
	first, err1 := readAt(r, 0, magicFirst)
	second, err2 := (*Header)(nil), err1
	// The second header follows the first, whose size is not known when that one is damaged.
	for size := int64(headerSize); size <= maxHeader && second == nil; size *= 2 {
		second, err2 = readAt(r, size, magicSecond)
	}
	switch {
	case first == nil && second == nil && errors.Is(err1, ErrNone):
		return nil, err2
	case first == nil && second == nil:
		return nil, err1
	case first == nil || second != nil && second.sequence > first.sequence:
		return second, second.check()
	}
	return first, first.check()
}

// readAt reads one of the headers.
func readAt(r io.ReaderAt, at int64, magic string) (*Header, error) {
	b := make([]byte, binarySize)
	if n, err := r.ReadAt(b, at); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = ErrNone
		}
		return nil, err
	}
	be := binary.BigEndian
	if string(b[:6]) != magic {
		return nil, ErrNone
	}
	if version := be.Uint16(b[6:]); version != 2 {
		return nil, fmt.Errorf("%w: LUKS version %d", ErrUnsupported, version)
	}
	size := be.Uint64(b[8:])
	if size < headerSize || size > maxHeader || be.Uint64(b[256:]) != uint64(at) {
		return nil, fmt.Errorf("%w: it has %d bytes and says that it is at %d", ErrDamaged, size, be.Uint64(b[256:]))
	}
	b = append(b, make([]byte, size-binarySize)...)
	if n, err := r.ReadAt(b[binarySize:], at+binarySize); n < len(b)-binarySize {
		return nil, fmt.Errorf("%w: reading its metadata: %w", ErrDamaged, err)
	}
	return parse(b)
}

// parse reads a whole header.
func parse(b []byte) (*Header, error) {
	newHash, err := hashOf(text(b[72:104]))
	if err != nil {
		return nil, err
	}
	want := slices.Clone(b[checksumAt : checksumAt+checksumSize])
	clear(b[checksumAt : checksumAt+checksumSize])
	h := newHash()
	h.Write(b)
	if got := h.Sum(nil); !bytes.Equal(got, want[:len(got)]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	header := &Header{UUID: text(b[168:208]), Subsystem: text(b[208:256]), sequence: binary.BigEndian.Uint64(b[16:])}
	data, _, _ := bytes.Cut(b[binarySize:], []byte{0})
	if err := json.Unmarshal(data, &header.Metadata); err != nil {
		return nil, fmt.Errorf("%w: its metadata: %w", ErrDamaged, err)
	}
	return header, nil
}

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// check refuses what this package does not do.
func (h *Header) check() error {
	_, err := h.data()
	return err
}

// data finds the only segment.
func (h *Header) data() (Data, error) {
	s, ok := h.Metadata.Segments["0"]
	switch {
	case !ok || len(h.Metadata.Segments) != 1:
		return Data{}, fmt.Errorf("%w: %d segments (is it being encrypted anew? `cryptsetup reencrypt` finishes that)", ErrUnsupported, len(h.Metadata.Segments))
	case s.Type != "crypt" || s.Encryption != cipherName:
		return Data{}, fmt.Errorf("%w: a segment of type %q with cipher %q: want %s", ErrUnsupported, s.Type, s.Encryption, cipherName)
	case s.Size != "dynamic":
		return Data{}, fmt.Errorf("%w: a segment of a fixed size", ErrUnsupported)
	case !slices.Contains([]int{512, 1024, 2048, 4096}, s.SectorSize) || s.Offset == 0 || s.Offset%4096 != 0:
		return Data{}, fmt.Errorf("%w: sectors of %d bytes from %d on", ErrUnsupported, s.SectorSize, s.Offset)
	}
	return Data{Offset: int64(s.Offset), SectorSize: int64(s.SectorSize), IVOffset: int64(s.IVTweak)}, nil
}

// Open finds the key with a passphrase. r is the device. Slots limits the search to keyslots
// with these numbers; without any, all are tried. It returns ErrPassphrase if none opens.
func (h *Header) Open(r io.ReaderAt, passphrase []byte, slots ...string) (Data, error) {
	data, err := h.data()
	if err != nil {
		return Data{}, err
	}
	if len(slots) == 0 {
		slots = slices.SortedFunc(maps.Keys(h.Metadata.Keyslots), byNumber)
	}
	var errs []error
	for _, id := range slots {
		key, err := h.try(r, id, passphrase)
		if err == nil && key != nil {
			data.Key = key
			return data, nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("keyslot %s: %w", id, err))
		}
	}
	return Data{}, errors.Join(append(errs, ErrPassphrase)...)
}

func byNumber(a, b string) int {
	m, _ := strconv.Atoi(a)
	n, _ := strconv.Atoi(b)
	return m - n
}

// try returns nil if the passphrase is not that of the keyslot.
func (h *Header) try(r io.ReaderAt, id string, passphrase []byte) ([]byte, error) {
	k, ok := h.Metadata.Keyslots[id]
	if !ok {
		return nil, errors.New("there is none with this number")
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	newHash, err := hashOf(k.AF.Hash)
	if err != nil {
		return nil, err
	}
	area := make([]byte, (k.KeySize*k.AF.Stripes+tweakSector-1)/tweakSector*tweakSector)
	if _, err := r.ReadAt(area, int64(k.Area.Offset)); err != nil {
		return nil, err
	}
	under, err := k.cipher(passphrase)
	if err != nil {
		return nil, err
	}
	eachSector(area, 0, tweakSector, func(b []byte, tweak uint64) { under.Decrypt(b, b, tweak) })
	key := gather(area[:k.KeySize*k.AF.Stripes], k.KeySize, newHash)
	if right, err := h.right(id, key); err != nil || !right {
		return nil, err
	}
	return key, nil
}

// check refuses a keyslot that would cost too much, or has an unknown form.
func (k Keyslot) check() error {
	known := k.Type == "luks2" && k.AF.Type == "luks1" && k.Area.Type == "raw" && k.Area.Encryption == cipherName
	sizes := (k.KeySize == 32 || k.KeySize == 64) && (k.Area.KeySize == 32 || k.Area.KeySize == 64) && k.AF.Stripes == stripes
	if !known || !sizes {
		return fmt.Errorf("%w: type %q, cipher %q, keys of %d and %d bytes, %d stripes", ErrUnsupported, k.Type, k.Area.Encryption, k.KeySize, k.Area.KeySize, k.AF.Stripes)
	}
	return k.KDF.check()
}

// cipher is that of the keyslot's area.
func (k Keyslot) cipher(passphrase []byte) (*xts.Cipher, error) {
	key, err := k.KDF.derive(passphrase, k.Area.KeySize)
	if err != nil {
		return nil, err
	}
	return newXTS(key)
}

// right compares a key with the digest of the keyslot.
func (h *Header) right(id string, key []byte) (bool, error) {
	for _, d := range h.Metadata.Digests {
		if !slices.Contains(d.Keyslots, id) || !slices.Contains(d.Segments, "0") {
			continue
		}
		newHash, err := hashOf(d.Hash)
		if err != nil {
			return false, err
		}
		if d.Type != "pbkdf2" || d.Iterations < 1 || d.Iterations > maxIterations || len(d.Digest) == 0 || len(d.Digest) > checksumSize {
			return false, fmt.Errorf("%w: a digest of type %q with %d iterations and %d bytes", ErrUnsupported, d.Type, d.Iterations, len(d.Digest))
		}
		got, err := pbkdf2.Key(newHash, string(key), d.Salt, d.Iterations, len(d.Digest))
		return err == nil && subtle.ConstantTimeCompare(got, d.Digest) == 1, err
	}
	return false, fmt.Errorf("%w: a keyslot without a digest", ErrUnsupported)
}

// A Token is what another program keeps in a header: how to get the passphrase of keyslots.
type Token struct {
	Type     string   `json:"type"`
	Keyslots []string `json:"keyslots"`
	JSON     []byte   `json:"-"` // all of it
}

// Tokens returns the tokens of a type in their order.
func (h *Header) Tokens(kind string) []Token {
	var out []Token
	for _, id := range slices.SortedFunc(maps.Keys(h.Metadata.Tokens), byNumber) {
		t := Token{JSON: h.Metadata.Tokens[id]}
		if json.Unmarshal(t.JSON, &t) == nil && t.Type == kind && len(t.Keyslots) > 0 {
			out = append(out, t)
		}
	}
	return out
}
