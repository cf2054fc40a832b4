// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// A Fsck asks e2fsck about file systems: about one in so many, and about each
// that is damaged in the eyes of the quick check.
type Fsck struct {
	Program string // path of e2fsck
	Every   int    // how many contents there are to one that is asked about; 0: none of the sound ones
	Dir     string // for the copies; default: the system's temporary directory

	asked, repaired atomic.Int64
}

// FindFsck looks for e2fsck, also where only root's PATH leads.
func FindFsck() (string, error) {
	for _, name := range []string{"e2fsck", "/usr/sbin/e2fsck", "/sbin/e2fsck"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("e2fsck is not installed: install e2fsprogs, or go without")
}

// samples chooses by the contents, so that it is the same in every run.
func (f *Fsck) samples(id Identity) bool {
	if f == nil || f.Every == 0 {
		return false
	}
	n := mix(uint64(id.off)) ^ mix(uint64(id.writes)) ^ binary.LittleEndian.Uint64(id.fates[:])
	return mix(n)%uint64(f.Every) == 0
}

// check repairs a copy. E2fsck ends with 0 when there was nothing to repair, with
// 1 when everything is, and else with more.
func (f *Fsck) check(ctx context.Context, s section) (err error) {
	f.asked.Add(1)
	dir, err := os.MkdirTemp(f.Dir, "kairos-build-crash-")
	if err != nil {
		return fmt.Errorf("making room for a copy of a file system: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "ext4")
	if err := writeSparse(path, s, s.Size()); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, f.Program, "-fy", path).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("e2fsck: %w:\n%s", err, out)
	}
	return nil
}

// checkExt4 mends what the node would mend, and is then the quick check, and
// e2fsck where that does not do.
func (c *Checker) checkExt4(ctx context.Context, s section) error {
	s, err := c.mend(s)
	if err != nil {
		return err
	}
	quick := quickExt4(s, s.Size())
	switch {
	case quick == nil && !c.Fsck.samples(s.id):
		return nil
	case c.Fsck == nil:
		return quick
	}
	if err := c.Fsck.check(ctx, s); err != nil {
		return errors.Join(quick, err)
	}
	if quick != nil && !errors.Is(quick, errBeyond) {
		c.Fsck.repaired.Add(1)
	}
	return nil
}

// mend gives the file system with the superblock that the initramfs would write.
// What cannot be mended is left for the checks to speak of.
func (c *Checker) mend(s section) (section, error) {
	m, err := ext4.Mend(s, s.Size())
	if errors.Is(err, ext4.ErrDamaged) || errors.Is(err, ext4.ErrNoSuper) {
		return s, nil
	}
	if err != nil || m.Super == nil {
		return s, err
	}
	c.mended.Add(1)
	patched := Patched{s, []qemu.Patch{{Offset: ext4.SuperOffset, Data: m.Super}}}
	return section{io.NewSectionReader(patched, 0, s.Size()), s.id}, nil
}
