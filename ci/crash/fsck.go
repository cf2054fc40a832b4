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

// A Fsck runs e2fsck on file systems: on a sample of them, and on each that the quick
// check rejects.
type Fsck struct {
	Program string // path of e2fsck
	Every   int    // one in Every sound contents is sampled; 0: none
	Dir     string // for the copies; default: the system's temporary directory

	asked, repaired atomic.Int64
}

// FindFsck looks for e2fsck, also in the folders that only root's PATH has.
func FindFsck() (string, error) {
	for _, name := range []string{"e2fsck", "/usr/sbin/e2fsck", "/sbin/e2fsck"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("e2fsck is not installed: install e2fsprogs, or go without")
}

// samples tells whether contents are in the sample. It depends on their identity
// alone, so every run has the same sample.
func (f *Fsck) samples(id Identity) bool {
	if f == nil || f.Every == 0 {
		return false
	}
	n := mix(uint64(id.off)) ^ mix(uint64(id.writes)) ^ binary.LittleEndian.Uint64(id.fates[:])
	return mix(n)%uint64(f.Every) == 0
}

// check repairs a copy. The exit code of e2fsck is 0 when there was nothing to repair,
// 1 when all damage was repaired, and higher otherwise.
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

// checkExt4 mends the superblock as the node would, runs the quick check, and runs
// e2fsck on a sample and on what the quick check rejects.
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

// mend returns the file system with the superblock that the initramfs would write. It
// leaves damage beyond that in place, for the checks to report.
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
