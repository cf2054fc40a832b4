// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"

	"github.com/kairos-build/kairos-build/framework/node/trust"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// Trust is which images the node trusts.
type Trust struct {
	Keys       int    `json:"keys"` // how many are trusted; without keys and identities, no image is
	Identities int    `json:"identities"`
	Floor      string `json:"floor,omitempty"` // version below which no upgrade goes
	// Image says why the image that runs was trusted when it was installed; empty if the
	// builder made its slot, or if that is not known.
	Image string `json:"image,omitempty"`
	// Unverified are images that were installed with --insecure-skip-verify, until a
	// verified one is good in their place.
	Unverified []trust.Unverified `json:"unverified,omitempty"`
}

func (t Trust) line() string {
	line := "no image: no upgrade is possible, see `kairos-agent policy show`"
	if t.Keys+t.Identities > 0 {
		line = fmt.Sprintf("images of %s and %s", count(t.Keys, "key", "keys"), count(t.Identities, "identity", "identities"))
	}
	if t.Floor != "" {
		line += ", none older than " + t.Floor
	}
	if t.Image != "" && t.Image != slotimage.Unverified {
		line += "; this image is " + t.Image
	}
	for _, u := range t.Unverified {
		line += fmt.Sprintf("; slot %s is NOT VERIFIED", u.Slot)
	}
	return line
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
