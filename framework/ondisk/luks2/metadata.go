// SPDX-License-Identifier: Apache-2.0

package luks2

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Metadata is the JSON part of a header. The keys of the maps are numbers in decimal.
type Metadata struct {
	Keyslots map[string]Keyslot         `json:"keyslots"`
	Tokens   map[string]json.RawMessage `json:"tokens"` // of other programs, see Token
	Segments map[string]Segment         `json:"segments"`
	Digests  map[string]Digest          `json:"digests"`
	Config   Config                     `json:"config"`
}

// A Keyslot holds the volume key under a passphrase.
type Keyslot struct {
	Type    string `json:"type"`     // luks2
	KeySize int    `json:"key_size"` // bytes
	AF      AF     `json:"af"`
	Area    Area   `json:"area"`
	KDF     KDF    `json:"kdf"`
}

// AF is how the key is spread.
type AF struct {
	Type    string `json:"type"` // luks1
	Stripes int    `json:"stripes"`
	Hash    string `json:"hash"`
}

// Area is where a keyslot lies, and its cipher.
type Area struct {
	Type       string `json:"type"` // raw
	Offset     number `json:"offset"`
	Size       number `json:"size"`
	Encryption string `json:"encryption"`
	KeySize    int    `json:"key_size"`
}

// KDF makes a key from a passphrase. Argon2 has Time (passes), Memory (KiB) and CPUs
// (lanes), PBKDF2 has Hash and Iterations.
type KDF struct {
	Type       string `json:"type"` // argon2id, argon2i or pbkdf2
	Time       uint32 `json:"time,omitempty"`
	Memory     uint32 `json:"memory,omitempty"`
	CPUs       uint32 `json:"cpus,omitempty"`
	Hash       string `json:"hash,omitempty"`
	Iterations int    `json:"iterations,omitempty"`
	Salt       []byte `json:"salt"`
}

// A Segment is a part of the device with data.
type Segment struct {
	Type       string `json:"type"` // crypt
	Offset     number `json:"offset"`
	Size       string `json:"size"` // bytes, or dynamic: to the end of the device
	IVTweak    number `json:"iv_tweak"`
	Encryption string `json:"encryption"`
	SectorSize int    `json:"sector_size"` // bytes
}

// A Digest tells whether a volume key is the right one.
type Digest struct {
	Type       string   `json:"type"` // pbkdf2
	Keyslots   []string `json:"keyslots"`
	Segments   []string `json:"segments"`
	Hash       string   `json:"hash"`
	Iterations int      `json:"iterations"`
	Salt       []byte   `json:"salt"`
	Digest     []byte   `json:"digest"`
}

// Config has the sizes of the header, in bytes.
type Config struct {
	JSONSize     number   `json:"json_size"`
	KeyslotsSize number   `json:"keyslots_size"`
	Flags        []string `json:"flags,omitempty"`
	Requirements any      `json:"requirements,omitempty"`
}

// A number is written as a string, since JSON's own numbers lose digits.
type number int64

// MarshalText implements encoding.TextMarshaler.
func (n number) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(n), 10), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *number) UnmarshalText(text []byte) error {
	v, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no size or offset", text)
	}
	*n = number(v)
	return nil
}
