// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"fmt"
	"strings"
)

// A Label is the file layout.BootLabel on the boot partition of a slot. It names the image
// in the slot, for people and for `kairos-agent status`. No decision depends on it: the
// root hash that the boot loader passes on determines what boots.
//
// The file has lines KEY=VALUE, each ended by a newline, in this order. A key without a
// value is left out. Readers ignore unknown keys:
//
//	VERSION   KAIROS_VERSION of the image's release file
//	IMAGE     the reference by which the image was requested
//	DIGEST    the digest of the image's manifest, "sha256:…"
//	ROOTHASH  the dm-verity root hash, 64 lower-case hex digits
//	TRUST     why the node trusted the image when it wrote it, or Unverified; nothing for
//	          a slot that the builder made
type Label struct {
	Version  string
	Image    string
	Digest   string
	RootHash string
	Trust    string
}

// Unverified is the value of Label.Trust for an image that nobody vouches for.
const Unverified = "NOT VERIFIED"

// Encode returns the content of the file. It leaves out control characters in values.
func (l Label) Encode() []byte {
	var b strings.Builder
	for _, f := range l.fields() {
		if v := printable(*f.value); v != "" {
			fmt.Fprintf(&b, "%s=%s\n", f.key, v)
		}
	}
	return []byte(b.String())
}

// DecodeLabel reads the content of the file. It ignores unknown lines.
func DecodeLabel(data []byte) Label {
	var l Label
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, "=")
		for _, f := range l.fields() {
			if f.key == key {
				*f.value = printable(value)
			}
		}
	}
	return l
}

type labelField struct {
	key   string
	value *string
}

func (l *Label) fields() []labelField {
	return []labelField{{"VERSION", &l.Version}, {"IMAGE", &l.Image}, {"DIGEST", &l.Digest}, {"ROOTHASH", &l.RootHash}, {"TRUST", &l.Trust}}
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}
