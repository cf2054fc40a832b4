// SPDX-License-Identifier: Apache-2.0

package disks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// Contents is what is on a disk.
type Contents struct {
	// Whole is what the disk as a whole is, such as "an LVM volume"; or empty.
	Whole string
	// Table is "GPT" or "MBR", or empty.
	Table string
	Parts []Part
	// Kairos says that it has the partitions of an installed disk, and Interrupted that
	// sector 0 is missing, which an installation writes last.
	Kairos, Interrupted bool
	// Reinstalling says that sector 0 is missing because a reinstallation that keeps the data
	// was interrupted: the data are there.
	Reinstalling bool
	// Recovery is the label of the recovery slot of an installed disk.
	Recovery slotimage.Label
	// Unknown says that there is something that is none of these.
	Unknown bool
}

// A Part is a partition of a disk.
type Part struct {
	Name string // in a GPT
	Size int64  // bytes
	What string // such as `ext4 "data"`; or empty
}

// edge is how much of both ends of a disk an installation clears.
const edge = 1 << 20

// maxParts is how many partitions are looked into.
const maxParts = 128

// Read looks at what is on a disk of size bytes. It reads a few MiB at most.
func Read(r io.ReaderAt, size int64) (Contents, error) {
	if size < 4*edge {
		return Contents{Unknown: true}, nil
	}
	head, tail := make([]byte, edge), make([]byte, edge)
	if err := errors.Join(readFull(r, head, 0), readFull(r, tail, size-edge)); err != nil {
		return Contents{}, err
	}
	var c Contents
	signed := head[510] == 0x55 && head[511] == 0xaa
	c.readGPT(r, size, signed)
	c.Reinstalling = c.Interrupted && bytes.HasPrefix(head, []byte(layout.ReinstallMark))
	c.Interrupted = c.Interrupted && !c.Reinstalling
	if c.Table == "" {
		c.Whole = Signature(io.NewSectionReader(r, 0, size), size)
	}
	if c.Table == "" && c.Whole == "" && signed {
		c.readMBR(head)
	}
	blank := func(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
	c.Unknown = c.Table == "" && c.Whole == "" && (!blank(head) || !blank(tail))
	return c, nil
}

func (c *Contents) readGPT(r io.ReaderAt, size int64, signed bool) {
	t, err := gpt.Read(r, size)
	if err != nil {
		return
	}
	c.Table = "GPT"
	for _, p := range t.Partitions[:min(len(t.Partitions), maxParts)] {
		part := Part{Name: p.Name, Size: p.Size()}
		if p.First >= 0 && p.Size() > 0 && p.Offset()+p.Size() <= size {
			part.What = Signature(io.NewSectionReader(r, p.Offset(), p.Size()), p.Size())
		}
		c.Parts = append(c.Parts, part)
	}
	c.Kairos = isKairos(t)
	if c.Kairos {
		c.Interrupted = !signed
		c.Recovery = readLabel(r, size, t)
	}
}

// isKairos tells whether a table has all partitions of an installed disk, by name.
func isKairos(t *gpt.Table) bool {
	return !slices.ContainsFunc(layout.Table(layout.Sizes{}), func(p layout.Partition) bool {
		_, ok := t.Partition(p.Name)
		return !ok
	})
}

// readLabel reads which image the recovery slot has; an empty label if that is not known.
func readLabel(r io.ReaderAt, size int64, t *gpt.Table) slotimage.Label {
	p, _ := t.Partition(layout.SlotRecovery.Boot())
	if p.Offset()+p.Size() > size {
		return slotimage.Label{}
	}
	v, err := fat32.Open(io.NewSectionReader(r, p.Offset(), p.Size()), p.Size())
	if err != nil {
		return slotimage.Label{}
	}
	if list, err := v.List(""); err != nil || slices.ContainsFunc(list, func(e fat32.Entry) bool { return e.Name == layout.BootLabel && e.Size > 1<<16 }) {
		return slotimage.Label{}
	}
	data, err := v.ReadFile(layout.BootLabel)
	if err != nil {
		return slotimage.Label{}
	}
	return slotimage.DecodeLabel(data)
}

// readMBR counts the partitions of an old table: records of 16 bytes from byte 446 on, with
// their type in byte 4.
func (c *Contents) readMBR(head []byte) {
	for i := range 4 {
		if kind := head[446+16*i+4]; kind != 0 {
			c.Table = "MBR"
			c.Parts = append(c.Parts, Part{What: fmt.Sprintf("type %#02x", kind)})
		}
	}
}

// Free tells whether nothing is lost when the disk is erased.
func (c Contents) Free() bool {
	return c.Interrupted || c.Whole == "" && c.Table == "" && !c.Unknown
}

// String says what is on the disk.
func (c Contents) String() string {
	switch {
	case c.Reinstalling:
		return "a node whose reinstallation was interrupted (its data are there: `kairos-agent install --no-format` goes on)"
	case c.Kairos && c.Recovery.Version != "":
		return fmt.Sprintf("an installed node (version %s)", c.Recovery.Version)
	case c.Kairos:
		return "an installed node"
	case c.Whole != "":
		return c.Whole
	case c.Table != "":
		return c.partitions()
	case c.Unknown:
		return "data of an unknown kind"
	}
	return "nothing"
}

func (c Contents) partitions() string {
	if len(c.Parts) == 0 {
		return fmt.Sprintf("an empty partition table (%s)", c.Table)
	}
	var words []string
	for _, p := range c.Parts[:min(len(c.Parts), 4)] {
		words = append(words, strings.TrimSpace(printable(p.Name)+" "+p.What))
	}
	if len(c.Parts) > len(words) {
		words = append(words, "…")
	}
	return fmt.Sprintf("%d partitions (%s)", len(c.Parts), strings.Join(words, ", "))
}

func readFull(r io.ReaderAt, b []byte, off int64) error {
	_, err := io.ReadFull(io.NewSectionReader(r, off, int64(len(b))), b)
	return err
}
