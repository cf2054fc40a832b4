// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// EFIVars is where systemd mounts efivarfs.
const EFIVars = "/sys/firmware/efi/efivars"

const (
	globalSuffix = "-8be4df61-93ca-11d2-aa0d-00e098032b8c" // EFI_GLOBAL_VARIABLE
	// Non-volatile, and visible to boot services and at run time.
	variableAttributes = 7
	immutable          = 0x10 // FS_IMMUTABLE_FL
)

// efivarfs is Vars on the file system efivarfs. A variable is a file; its first four bytes
// are attributes. The kernel marks files immutable, against rm -rf; Set and Delete remove
// the mark first.
type efivarfs struct{ dir string }

// OpenVars returns the variables in dir, which is EFIVars. The error is fs.ErrNotExist if
// BIOS started the machine. Variables that are mounted read-only are an error too.
func OpenVars(dir string) (Vars, error) {
	if _, err := os.Stat(filepath.Join(dir, "BootCurrent"+globalSuffix)); err != nil {
		return nil, fmt.Errorf("opening the firmware's variables: %w", err)
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return nil, fmt.Errorf("opening the firmware's variables in %s for writing: %w", dir, err)
	}
	return efivarfs{dir}, nil
}

func (v efivarfs) path(name string) string { return filepath.Join(v.dir, name+globalSuffix) }

// Names implements Vars.
func (v efivarfs) Names() ([]string, error) {
	list, err := os.ReadDir(v.dir)
	var names []string
	for _, e := range list {
		if n, ok := strings.CutSuffix(e.Name(), globalSuffix); ok {
			names = append(names, n)
		}
	}
	return names, err
}

// Get implements Vars.
func (v efivarfs) Get(name string) ([]byte, error) {
	data, err := os.ReadFile(v.path(name))
	if err != nil {
		return nil, err
	}
	if len(data) < 4 {
		return nil, fmt.Errorf("firmware variable %s: %d bytes", name, len(data))
	}
	return data[4:], nil
}

// Set implements Vars. The kernel requires a single write.
func (v efivarfs) Set(name string, data []byte) (err error) {
	if err := v.unlock(name); err != nil {
		return err
	}
	f, err := os.OpenFile(v.path(name), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(append(binary.LittleEndian.AppendUint32(nil, variableAttributes), data...))
	return err
}

// Delete implements Vars.
func (v efivarfs) Delete(name string) error {
	if err := v.unlock(name); err != nil {
		return err
	}
	return os.Remove(v.path(name))
}

// unlock removes the immutable mark. It does nothing on file systems without such marks,
// as in tests.
func (v efivarfs) unlock(name string) error {
	f, err := os.Open(v.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&immutable == 0 {
		return nil
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable); err != nil {
		return fmt.Errorf("making firmware variable %s writable: %w", name, err)
	}
	return nil
}
