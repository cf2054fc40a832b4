// SPDX-License-Identifier: Apache-2.0

package gpt

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// A GUID is in the order of its text form. On the disk the first three groups are
// little-endian.
type GUID [16]byte

// ParseGUID reads "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", in either case.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	dashes := len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if !dashes || err != nil || len(b) != len(g) {
		return g, fmt.Errorf("%q is not a GUID: want 8-4-4-4-12 hex digits", s)
	}
	return GUID(b), nil
}

// DeriveGUID makes a GUID of version 8 (RFC 9562: custom) from the beginning of a
// hash.
func DeriveGUID(hash [32]byte) GUID {
	g := GUID(hash[:16])
	g[6] = g[6]&0x0f | 0x80
	g[8] = g[8]&0x3f | 0x80
	return g
}

// Derived says whether g may come from DeriveGUID: everything derived from the same
// hash has the same GUID.
func (g GUID) Derived() bool { return g[6]>>4 == 8 && g[8]>>6 == 2 }

// NewGUID makes a random GUID, of version 4.
func NewGUID() GUID {
	var g GUID
	rand.Read(g[:])
	g[6] = g[6]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g
}

// String returns the text form in lower case, as Linux writes a PARTUUID.
func (g GUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[0:4], g[4:6], g[6:8], g[8:10], g[10:16])
}

// swapped turns the text order into the order on disk, and back.
func (g GUID) swapped() GUID {
	return GUID{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
}

// OnDisk returns the GUID as in a partition table, and in a device path of UEFI: the
// first three groups are little-endian.
func (g GUID) OnDisk() [16]byte { return g.swapped() }
