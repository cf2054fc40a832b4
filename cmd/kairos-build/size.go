// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// sizeFlags choose the sizes of a disk's slots, which no upgrade can change.
func sizeFlags(flags *pflag.FlagSet, s *layout.Sizes) {
	flags.Var((*size)(&s.Root), "slot-size", "room for a root image in slot a and in slot b, a `size` such as 6G; later images must fit (default twice the image, at least 2G)")
	flags.Var((*size)(&s.Recovery), "recovery-size", "room for a root image in the recovery slot, a `size` (default the image and a quarter more)")
}

// A size is a flag with a number of bytes, given in MiB or GiB. Zero means that the
// flag was not given.
type size int64

// maxSize, in bytes, keeps sums of sizes far from an overflow.
const maxSize = 1024 * layout.GiB

func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s)/layout.MiB, 10) + "M"
}

// Type implements pflag.Value.
func (s *size) Type() string { return "size" }

// Set implements pflag.Value.
func (s *size) Set(text string) error {
	number := strings.TrimSuffix(strings.TrimSuffix(text, "iB"), "B")
	unit := map[byte]int64{'M': layout.MiB, 'G': layout.GiB}
	n, err := int64(0), error(nil)
	if number != "" && unit[number[len(number)-1]] != 0 {
		n, err = strconv.ParseInt(number[:len(number)-1], 10, 64)
		n = min(n, maxSize) * unit[number[len(number)-1]]
	}
	if err != nil || n < layout.MiB || n > maxSize {
		return fmt.Errorf("want a whole number with M or G, such as 6G, up to %dG", maxSize/layout.GiB)
	}
	*s = size(n)
	return nil
}
