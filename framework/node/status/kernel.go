// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// AskKernel adds what only the running system can tell: its network addresses,
// whether dm-verity met a corrupt block, and how full the data partitions are.
// Without root rights verity is hidden.
func (s *Status) AskKernel() {
	var err error
	if s.Interfaces, err = interfaces(); err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if m.Kind == thisboot.MountData || m.Kind == thisboot.MountFallback {
			m.Size, m.Free = space(m.Path)
		}
	}
	if s.Root.Verity.State != Mapped {
		return
	}
	target, word, err := targetStatus(s.Root.Verity.Name)
	switch {
	case errors.Is(err, os.ErrPermission):
		s.Hidden = append(s.Hidden, "verity")
	case err != nil:
		s.Problems = append(s.Problems, err.Error())
	case target != "verity":
		s.Problems = append(s.Problems, fmt.Sprintf("the root is on a device-mapper target %q", target))
	case word == "V":
		s.Root.Verity.State = Verified
	default:
		s.Root.Verity.State = Corrupted
		s.Problems = append(s.Problems, "dm-verity met a block of the root that does not fit its hash: the disk or the image is damaged")
	}
}

func space(path string) (size, free int64) {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0, 0
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize
}

// Sizes for struct dm_ioctl and struct dm_target_spec, and the command number, see
// include/uapi/linux/dm-ioctl.h.
const (
	dmTableStatus = 12
	dmHeader      = 312
	dmSpec        = 40
	dmBuffer      = 4096
)

// targetStatus returns the type and the status line of the only target of a device. The
// status of dm-verity is V (valid) or C (corrupted).
func targetStatus(name string) (target, status string, err error) {
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return "", "", fmt.Errorf("asking device-mapper for %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, control.Close()) }()
	b := statusRequest(name)
	request := uintptr(3<<30 | dmHeader<<16 | 0xfd<<8 | dmTableStatus)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), request, uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
		return "", "", fmt.Errorf("asking device-mapper for %s: %w", name, errno)
	}
	return statusReply(b)
}

func statusRequest(name string) []byte {
	b := make([]byte, dmBuffer)
	le := binary.LittleEndian
	le.PutUint32(b[0:], 4) // interface version 4.0.0
	le.PutUint32(b[12:], dmBuffer)
	le.PutUint32(b[16:], dmHeader)
	copy(b[48:48+127], name)
	return b
}

func statusReply(b []byte) (target, status string, err error) {
	le := binary.LittleEndian
	start := int(le.Uint32(b[16:]))
	if count := le.Uint32(b[20:]); count != 1 || start < dmHeader || start+dmSpec > len(b) {
		return "", "", fmt.Errorf("device-mapper reports %d targets, expected one", count)
	}
	spec := b[start:]
	return text(spec[24:40]), text(spec[dmSpec:]), nil
}

// text returns b up to its first NUL.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
