// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"regexp"
	"strings"
)

// A MenuEntry is an entry of a menu that GRUB shows on the console.
type MenuEntry struct {
	Title string // a part of it, as GRUB prints it
	Place int    // 0 is the first entry
}

// Keys of GRUB's menu (grub manual, "Using the menu"). Each is one byte: of a longer
// sequence, such as that of an arrow key, the firmware's serial console and GRUB could
// each read a part.
const (
	keyFirst = "\x01" // Control-A
	keyNext  = "\x0e" // Control-N
	keyEnter = "\r"
)

// Choose waits for a menu with this entry, and starts the entry.
func (v *VM) Choose(ctx context.Context, e MenuEntry) error {
	if _, err := v.WaitFor(ctx, regexp.MustCompile(regexp.QuoteMeta(e.Title))); err != nil {
		return err
	}
	return v.Send(keyFirst + strings.Repeat(keyNext, e.Place) + keyEnter)
}
