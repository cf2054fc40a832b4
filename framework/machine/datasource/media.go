// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/filesystem/fat12"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// Media are read without a mount: nothing can be left mounted, and no kernel
// module for their file systems is needed.

// devices lists the block devices that may hold a medium: CD-ROMs first, then by
// name. It leaves out our own partitions, virtual devices and empty drives.
func (m *Access) devices() ([]string, error) {
	entries, err := fs.ReadDir(m.FS, "sys/class/block")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing block devices: %w", err)
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		size, err := strconv.ParseInt(m.text("sys/class/block/"+name+"/size"), 10, 64)
		if err == nil && size > 0 && !virtual(name) && !m.ours(name) {
			out = append(out, "/dev/"+strings.ReplaceAll(name, "!", "/"))
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	return out, nil
}

func virtual(name string) bool {
	return slices.ContainsFunc([]string{"loop", "ram", "zram", "dm-", "md", "nbd", "fd"}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func rank(device string) int {
	if strings.HasPrefix(device, "/dev/sr") {
		return 0
	}
	return 1
}

// ours tells whether a partition has a name from our disk layout.
func (m *Access) ours(name string) bool {
	for line := range strings.Lines(m.text("sys/class/block/" + name + "/uevent")) {
		if partition, ok := strings.CutPrefix(strings.TrimSpace(line), "PARTNAME="); ok {
			return slices.ContainsFunc(layout.Table(layout.Sizes{}), func(p layout.Partition) bool { return p.Name == partition })
		}
	}
	return false
}

// withLabel calls use with the first medium whose label is one of labels, upper or
// lower case. The error is ErrNone if there is none.
func (m *Access) withLabel(ctx context.Context, labels []string, use func(v *volume) (*Data, error)) (*Data, error) {
	return m.withVolume(ctx, func(v *volume) bool {
		return slices.ContainsFunc(labels, func(l string) bool { return strings.EqualFold(l, v.label) })
	}, use)
}

// driveTime is the longest wait for a drive after its driver was loaded.
const driveTime = 500 * time.Millisecond

// loadDrives loads the driver of CD-ROM drives if a drive has none: the initramfs
// does not wait for drives that it does not need, and udev starts later.
func (m *Access) loadDrives(ctx context.Context) error {
	if m.LoadModule == nil || !m.hasDrive() || m.driveReady() {
		return nil
	}
	if err := m.LoadModule(ctx, "sr_mod"); err != nil {
		return err
	}
	for end := time.Now().Add(driveTime); !m.driveReady() && time.Now().Before(end); { //nolint:forbidigo // a limit
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// hasDrive tells whether there is a SCSI device of type 5, a CD-ROM drive. SATA
// drives are SCSI devices too.
func (m *Access) hasDrive() bool {
	types, err := fs.Glob(m.FS, "sys/bus/scsi/devices/*/type")
	return err == nil && slices.ContainsFunc(types, func(name string) bool { return m.text(name) == "5" })
}

func (m *Access) driveReady() bool {
	drives, err := fs.Glob(m.FS, "sys/class/block/sr*/size")
	return err == nil && len(drives) > 0
}

// withVolume calls use with the media that fit, until it returns anything but
// ErrNone. Unreadable devices are skipped.
func (m *Access) withVolume(ctx context.Context, fits func(v *volume) bool, use func(v *volume) (*Data, error)) (*Data, error) {
	if err := m.loadDrives(ctx); err != nil {
		m.log().Warn("the driver of the CD-ROM drive cannot be loaded", "error", err)
	}
	devices, err := m.devices()
	if err != nil {
		return nil, err
	}
	for _, device := range devices {
		data, err := m.tryDevice(device, fits, use)
		if !errors.Is(err, ErrNone) {
			return data, err
		}
	}
	return nil, ErrNone
}

func (m *Access) tryDevice(device string, fits func(v *volume) bool, use func(v *volume) (*Data, error)) (data *Data, err error) {
	f, err := m.Open(device)
	if err != nil {
		m.log().Debug("a block device cannot be read", "error", err)
		return nil, ErrNone
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	v, err := openVolume(f, device)
	if err != nil || !fits(v) {
		return nil, ErrNone // other content of disks is no error
	}
	data, err = use(v)
	if data != nil {
		data.Place = device
	}
	return data, err
}

// volume is a file system on a medium: ISO 9660 or FAT.
type volume struct {
	device string
	label  string
	size   int64
	fat    bool
	f      *os.File
	files  filesystem.FileSystem // nil until a file is read
}

var errNotAVolume = errors.New("neither ISO 9660 nor FAT")

const (
	isoDescriptor = 32768 // offset of the first volume descriptor, in bytes
	isoSector     = 2048
	// maxISOTable is the largest path table or root directory, in bytes: the
	// reader loads them whole into memory.
	maxISOTable = 1 << 20
	// maxDescriptors is the limit per volume; a usual volume has only a few.
	maxDescriptors = 16
	// maxFATSectors is the largest FAT, in sectors, as it is loaded whole too; a
	// larger FAT belongs to a data disk.
	maxFATSectors = 32768
)

// openVolume reads the superblocks only.
func openVolume(f *os.File, device string) (*volume, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	v := &volume{device: device, size: size, f: f}
	if label, ok := isoLabel(f); ok {
		v.label = label
		return v, nil
	}
	if label, ok := fatLabel(f); ok {
		v.label, v.fat = label, true
		return v, nil
	}
	return nil, errNotAVolume
}

// isoLabel reads the primary volume descriptor (ECMA-119, 8.4).
func isoLabel(r io.ReaderAt) (string, bool) {
	b := make([]byte, isoSector)
	if _, err := r.ReadAt(b, isoDescriptor); err != nil || string(b[:7]) != "\x01CD001\x01" {
		return "", false
	}
	return strings.TrimRight(string(b[40:72]), " \x00"), true
}

// isoBounded checks every volume descriptor up to the terminator: a damaged
// descriptor must not make the reader allocate gigabytes.
func isoBounded(r io.ReaderAt) bool {
	b := make([]byte, isoSector)
	for i := range int64(maxDescriptors) {
		if _, err := r.ReadAt(b, isoDescriptor+i*isoSector); err != nil || string(b[1:6]) != "CD001" {
			return false
		}
		switch b[0] {
		case 255: // the terminator
			return true
		case 1, 2: // primary, supplementary
			pathTable, rootSize := binary.LittleEndian.Uint32(b[132:]), binary.LittleEndian.Uint32(b[166:])
			if pathTable > maxISOTable || rootSize > maxISOTable {
				return false
			}
		}
	}
	return false
}

// fatLabel reads the label in the boot sector. FAT32 has no root directory entries
// and keeps its label further back.
func fatLabel(r io.ReaderAt) (string, bool) {
	b := make([]byte, 512)
	le := binary.LittleEndian
	if _, err := r.ReadAt(b, 0); err != nil || b[510] != 0x55 || b[511] != 0xaa || le.Uint16(b[11:]) != 512 {
		return "", false
	}
	field, kind, fatSectors := b[43:54], b[54:57], uint32(le.Uint16(b[22:]))
	if le.Uint16(b[17:]) == 0 {
		field, kind, fatSectors = b[71:82], b[82:85], le.Uint32(b[36:])
	}
	if string(kind) != "FAT" || fatSectors == 0 || fatSectors > maxFATSectors || b[13] == 0 || b[16] != 2 {
		return "", false
	}
	return strings.TrimRight(string(field), " \x00"), true
}

// open opens the file system. The reader may panic on a damaged file system; the
// panic becomes an error, so that the boot goes on.
func (v *volume) open() (err error) {
	if v.files != nil {
		return nil
	}
	defer v.survive("its structures", &err)
	switch {
	case v.fat && !fatBounded(v.f):
		err = errors.New("its file allocation table is damaged")
	case v.fat:
		v.files, err = readFAT(v.f, v.size)
	case !isoBounded(v.f):
		err = errors.New("its volume descriptors are damaged")
	default:
		v.files, err = iso9660.Read(file.New(v.f, true), v.size, 0, 0)
	}
	if err != nil {
		v.files = nil
		return fmt.Errorf("reading the file system on %s: %w", v.device, err)
	}
	return nil
}

// readFAT tries the three FAT types; only the number of clusters tells them apart.
func readFAT(f *os.File, size int64) (filesystem.FileSystem, error) {
	b := file.New(f, true)
	if fs32, err := fat32.Read(b, size, 0, 512); err == nil {
		return fs32, nil
	}
	if fs12, err := fat12.Read(b, size, 0, 512); err == nil {
		return fs12, nil
	}
	fs16, err := fat16.Read(b, size, 0, 512)
	if err != nil {
		return nil, err
	}
	return fs16, nil
}

func (v *volume) survive(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the file system on %s is damaged: %s", v.device, what)
	}
}

// read returns a file of at most MaxSize bytes; nil if it is missing. Upper and
// lower case of the name are equal.
func (v *volume) read(name string) (data []byte, err error) {
	if err := v.open(); err != nil {
		return nil, err
	}
	defer v.survive(name, &err)
	at := "."
	for part := range strings.SplitSeq(name, "/") {
		entry, err := v.find(at, part)
		if err != nil || entry == "" {
			return nil, err
		}
		at = path.Join(at, entry)
	}
	f, err := v.files.Open(at)
	if err != nil {
		return nil, fmt.Errorf("reading %s on %s: %w", name, v.device, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, MaxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s on %s: %w", name, v.device, err)
	case len(data) > MaxSize:
		return nil, fmt.Errorf("%s on %s has more than %d MiB", name, v.device, MaxSize>>20)
	}
	return data, nil
}

// find returns the directory entry called name, upper or lower case; empty: none.
func (v *volume) find(dir, name string) (string, error) {
	entries, err := v.files.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("listing a directory on %s: %w", v.device, err)
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return e.Name(), nil
		}
	}
	return "", nil
}
