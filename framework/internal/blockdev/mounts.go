// SPDX-License-Identifier: Apache-2.0

package blockdev

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// MountInfo is the file for CheckUnmounted on a running system.
const MountInfo = "/proc/self/mountinfo"

// ErrMounted is returned by CheckUnmounted, with the command that helps.
var ErrMounted = errors.New("the partition is mounted for writing")

// CheckUnmounted refuses a partition that is mounted for writing: the kernel would
// overwrite our sectors with its cached copy. It reads the file mountInfo.
func CheckUnmounted(f *os.File, mountInfo string) error {
	text, err := os.ReadFile(mountInfo)
	if err != nil {
		return fmt.Errorf("looking whether %s is mounted: %w", f.Name(), err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("looking whether %s is mounted: %w", f.Name(), err)
	}
	number := "none" // an image file
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		number = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	if at := writableMount(string(text), number, f.Name()); at != "" {
		return fmt.Errorf("%s: %w at %s: type `umount %s` and try again", f.Name(), ErrMounted, at, at)
	}
	return nil
}

// writableMount finds where a device, known by its number MAJOR:MINOR or by its
// path, is mounted for writing, in the text of mountinfo; see
// proc_pid_mountinfo(5). The options of the file system count, not those of the
// mount: a file system may have read-only and writable mounts at once.
func writableMount(mountInfo, number, source string) string {
	for line := range strings.Lines(mountInfo) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+4 || (f[2] != number && f[dash+2] != source) {
			continue
		}
		if !slices.Contains(strings.Split(f[dash+3], ","), "ro") {
			return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[4])
		}
	}
	return ""
}
