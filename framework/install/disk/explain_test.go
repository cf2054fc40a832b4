// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

func TestExplain(t *testing.T) {
	p := &plan{size: 5 << 30}
	p.Image = &slotimage.Image{Kernel: make([]byte, 10<<20)}
	for err, want := range map[error]string{
		&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}:        `needs about 62 MiB in "/out": free some`,
		fmt.Errorf("root-a: %w", os.NewSyscallError("x", syscall.EDQUOT)): "free some",
		syscall.EFBIG:  "5120 MiB",
		syscall.EACCES: "that you may write to",
		syscall.EROFS:  "that you may write to",
		syscall.ENOENT: `make the folder "/out" first`,
	} {
		got := explain("/out/disk.raw", p, err).Error()
		if !strings.Contains(got, want) || !strings.HasPrefix(got, `writing disk "/out/disk.raw": `) {
			t.Errorf("%v: %s, want %q", err, got, want)
		}
	}
}
