// SPDX-License-Identifier: Apache-2.0

package releaseflow

import (
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// Free is what a user may still write to the disk of a folder, in bytes.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking how full the disk of %s is: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// allocated is what a file takes on the disk; holes are left out.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
