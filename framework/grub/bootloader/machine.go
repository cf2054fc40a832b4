// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// Errors of Plan, Stage and Promote.
var (
	ErrForeign   = errors.New("the disk's boot loader is not ours")
	ErrNoRoom    = errors.New("the boot loader is too large")
	ErrNotStaged = errors.New("the update of the boot loader is not staged")
	ErrNotProved = errors.New("the update of the boot loader was not booted yet")
	ErrFailed    = errors.New("the boot loader's trial did not come up")
)

// A Machine holds a boot loader. No other program may change any part of it meanwhile;
// the EFI partition must not be mounted.
type Machine struct {
	Disk  fat32.Device // the whole disk
	Table *gpt.Table   // its partitions, including bios and efi
	ESP   fat32.Device // the EFI partition
	// Vars are the firmware's variables; nil if there are none, or if they cannot be
	// written. Then there are no trials.
	Vars Vars
	Time time.Time // of the files that are written
}

// Vars are the firmware's variables with the GUID of EFI_GLOBAL_VARIABLE. A change by Set
// or Delete is permanent when they return. A missing variable is fs.ErrNotExist.
type Vars interface {
	Names() ([]string, error)
	Get(name string) ([]byte, error)
	Set(name string, data []byte) error
	Delete(name string) error
}

// settle flushes a device. If the device can drop its cache, the next read comes from the
// medium.
func settle(d fat32.Device) error {
	if err := d.Sync(); err != nil {
		return err
	}
	if f, ok := d.(interface{ Forget() error }); ok {
		return f.Forget()
	}
	return nil
}

// volume opens the file system of the EFI partition in its current state.
func (m Machine) volume() (*fat32.Volume, error) {
	if _, ok := m.Table.Partition(partEFI); !ok {
		return nil, fmt.Errorf("%w: the disk has no partition %q", ErrForeign, partEFI)
	}
	return fat32.Open(m.ESP, m.espSize())
}

func (m Machine) espSize() int64 {
	p, _ := m.Table.Partition(partEFI)
	return p.Size()
}

// same tells whether a file exists and has these contents.
func same(v *fat32.Volume, path string, data []byte) (bool, error) {
	got, err := v.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return string(got) == string(data) && err == nil, err
}

// put replaces a file unless it is already the same.
func (m Machine) put(file fat32.File) error {
	v, err := m.volume()
	if err != nil {
		return err
	}
	if done, err := same(v, file.Path, file.Data); done || err != nil {
		return err
	}
	if err := fat32.Replace(m.ESP, m.espSize(), file, m.Time); err != nil {
		return err
	}
	return settle(m.ESP)
}
