// SPDX-License-Identifier: Apache-2.0

package luks2

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/crypto/xts"
)

// A Slot is a keyslot to make.
type Slot struct {
	Passphrase []byte
	KDF        KDF // ForPeople or ForRandom; it gets a salt
	// Token says to other programs how to get Passphrase, or is nil. It gets the number of
	// the keyslot: see Token.
	Token map[string]any
}

// A Volume is a new volume in memory: what its device must hold. It has a key of its own.
type Volume struct {
	header []byte // headers and keyslots
	cipher *xts.Cipher
}

// New makes a volume with a random key, UUID and salts.
func New(slots ...Slot) (*Volume, error) {
	key := random(keySize)
	cipher, err := newXTS(key)
	if err != nil {
		return nil, err
	}
	v := &Volume{cipher: cipher, header: make([]byte, keyslotsAt+len(slots)*keyslotSize)}
	m := emptyMetadata(key)
	for i, s := range slots {
		if err := v.add(&m, i, s, key); err != nil {
			return nil, err
		}
	}
	return v, v.putHeaders(m)
}

func emptyMetadata(key []byte) Metadata {
	d := Digest{Type: "pbkdf2", Segments: []string{"0"}, Hash: "sha256", Iterations: 1000, Salt: random(32)}
	d.Digest, _ = pbkdf2.Key(sha256.New, string(key), d.Salt, d.Iterations, sha256.Size) // refuses short keys in FIPS mode only
	return Metadata{
		Keyslots: map[string]Keyslot{}, Tokens: map[string]json.RawMessage{},
		Segments: map[string]Segment{"0": {
			Type: "crypt", Offset: DataOffset, Size: "dynamic", Encryption: cipherName, SectorSize: SectorSize,
		}},
		Digests: map[string]Digest{"0": d},
		Config:  Config{JSONSize: headerSize - binarySize, KeyslotsSize: DataOffset - keyslotsAt},
	}
}

// add fills the keyslot i.
func (v *Volume) add(m *Metadata, i int, s Slot, key []byte) error {
	id, offset := strconv.Itoa(i), keyslotsAt+i*keyslotSize
	s.KDF.Salt = random(32)
	k := Keyslot{
		Type: "luks2", KeySize: keySize, KDF: s.KDF,
		AF:   AF{Type: "luks1", Stripes: stripes, Hash: "sha256"},
		Area: Area{Type: "raw", Offset: number(offset), Size: keyslotSize, Encryption: cipherName, KeySize: keySize},
	}
	under, err := k.cipher(s.Passphrase)
	if err != nil {
		return err
	}
	area := v.header[offset : offset+keyslotSize]
	copy(area, spread(key, random(keySize*(stripes-1)), sha256.New))
	eachSector(area, 0, tweakSector, func(b []byte, tweak uint64) { under.Encrypt(b, b, tweak) })
	m.Keyslots[id] = k
	d := m.Digests["0"]
	d.Keyslots = append(d.Keyslots, id)
	m.Digests["0"] = d
	if s.Token == nil {
		return nil
	}
	s.Token["keyslots"] = []string{id}
	m.Tokens[strconv.Itoa(len(m.Tokens))], err = json.Marshal(s.Token)
	return err
}

func (v *Volume) putHeaders(m Metadata) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(data) >= headerSize-binarySize {
		return fmt.Errorf("the metadata of a LUKS2 header has %d bytes, and there is room for %d", len(data), headerSize-binarySize-1)
	}
	id := random(16)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4
	uuid := fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	for i, magic := range []string{magicFirst, magicSecond} {
		putHeader(v.header[i*headerSize:(i+1)*headerSize], magic, uuid, i*headerSize, data)
	}
	return nil
}

// putHeader fills h, which is zero.
func putHeader(h []byte, magic, uuid string, offset int, metadata []byte) {
	be := binary.BigEndian
	copy(h, magic)
	be.PutUint16(h[6:], 2)
	be.PutUint64(h[8:], headerSize)
	be.PutUint64(h[16:], 1)
	copy(h[72:], "sha256")
	copy(h[104:], random(64))
	copy(h[168:], uuid)
	copy(h[208:], Subsystem)
	be.PutUint64(h[256:], uint64(offset))
	copy(h[binarySize:], metadata)
	sum := sha256.Sum256(h)
	copy(h[checksumAt:], sum[:])
}

// Head returns the beginning of the device, at most DataOffset bytes. Zeros follow, up to
// DataOffset.
func (v *Volume) Head() []byte { return slices.Clone(v.header) }

// Encrypt encrypts b in place. It lies at offset bytes in the data; both are multiples of
// SectorSize.
func (v *Volume) Encrypt(b []byte, offset int64) {
	eachSector(b, offset, SectorSize, func(s []byte, tweak uint64) { v.cipher.Encrypt(s, s, tweak) })
}

// Header returns what Read would find.
func (v *Volume) Header() (*Header, error) { return Read(bytes.NewReader(v.header)) }

// random returns n random bytes; crypto/rand never fails.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
