// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// A bootImage names what GRUB starts from a boot partition: the hashes of the kernel
// and the initrd, and the root image that BOOT.CFG names.
type bootImage struct {
	kernel, initrd [sha256.Size]byte
	rootHash       [verity.HashSize]byte
	hashOffset     int64
}

func readBoot(s section) (bootImage, error) {
	f, err := openFAT(s, s.Size())
	if err != nil {
		return bootImage{}, err
	}
	files, err := f.files()
	if err != nil {
		return bootImage{}, err
	}
	var image bootImage
	if image.kernel, err = f.hash(files, layout.BootKernel); err != nil {
		return image, err
	}
	if image.initrd, err = f.hash(files, layout.BootInitrd); err != nil {
		return image, err
	}
	file, ok := files[bootconf.SlotConfig]
	if !ok {
		return image, fmt.Errorf("%s is missing", bootconf.SlotConfig)
	}
	var b bytes.Buffer
	if err := f.copy(&b, file); err != nil {
		return image, fmt.Errorf("reading %s: %w", bootconf.SlotConfig, err)
	}
	return image, image.parse(b.String())
}

func (f *fat) hash(files map[string]fatFile, name string) (sum [sha256.Size]byte, err error) {
	file, ok := files[name]
	if !ok {
		return sum, fmt.Errorf("%s is missing", name)
	}
	h := sha256.New()
	if err := f.copy(h, file); err != nil {
		return sum, fmt.Errorf("reading %s: %w", name, err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// parse reads what bootconf.Loader writes.
func (b *bootImage) parse(script string) error {
	line, ok := strings.CutPrefix(script, "set "+bootconf.CmdlineVar+"=\"")
	line, closed := strings.CutSuffix(line, "\"\n")
	if !ok || !closed {
		return fmt.Errorf("%s is not of one command: %.80q", bootconf.SlotConfig, script)
	}
	args := map[string]string{}
	for word := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(word, "=")
		args[key] = value
	}
	hash, err := hex.DecodeString(args[layout.ArgRootHash])
	if err != nil || len(hash) != verity.HashSize {
		return fmt.Errorf("%s: %s=%q is no hash", bootconf.SlotConfig, layout.ArgRootHash, args[layout.ArgRootHash])
	}
	b.rootHash = [verity.HashSize]byte(hash)
	if b.hashOffset, err = strconv.ParseInt(args[layout.ArgHashOffset], 10, 64); err != nil {
		return fmt.Errorf("%s: %s: %w", bootconf.SlotConfig, layout.ArgHashOffset, err)
	}
	return nil
}

// A rootID names the contents of a root partition and the tree they must match.
type rootID struct {
	contents Identity
	hash     [verity.HashSize]byte
	offset   int64
}

// checkSlot finds the damage that stops a slot from starting or running: unreadable or
// unknown files of the boot partition, or a block of the root image that does not
// match the tree.
func (c *Checker) checkSlot(ctx context.Context, v *View, t *gpt.Table, s layout.Slot) error {
	image, err := c.boot(v, t, s)
	if err != nil {
		return fmt.Errorf("slot %s: partition %s: %w", s, s.Boot(), err)
	}
	if !c.known.images[image] {
		return fmt.Errorf("slot %s: partition %s: kernel, initrd and root hash belong to no image that is known", s, s.Boot())
	}
	if err := c.root(ctx, v, t, s, image); err != nil {
		return fmt.Errorf("slot %s: partition %s: %w", s, s.Root(), err)
	}
	return nil
}

func (c *Checker) boot(v *View, t *gpt.Table, s layout.Slot) (bootImage, error) {
	p, ok := t.Partition(s.Boot())
	if !ok {
		return bootImage{}, errNoPartition
	}
	sec := v.section(p)
	r := c.boots.get(sec.id, func() result[bootImage] { return resultOf(readBoot(sec)) })
	return r.value, r.err
}

func (c *Checker) root(ctx context.Context, v *View, t *gpt.Table, s layout.Slot, image bootImage) error {
	p, ok := t.Partition(s.Root())
	if !ok {
		return errNoPartition
	}
	sec := v.section(p)
	return c.roots.get(rootID{sec.id, image.rootHash, image.hashOffset}, func() error {
		tree, err := verity.NewTree(image.hashOffset, image.rootHash)
		if err != nil {
			return err
		}
		return verity.Verify(ctx, sec, tree)
	})
}
