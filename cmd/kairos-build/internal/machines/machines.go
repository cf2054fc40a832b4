// SPDX-License-Identifier: Apache-2.0

// Package machines keeps users' virtual machines between runs: each has a folder with its
// own copy of the disk that it began with, what it wrote since, and its firmware's
// variables. A later build of the same disk changes none of them.
package machines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// A Store holds the kept machines of a user, one folder each.
type Store struct{ Dir string }

// A Machine is a kept machine. Its exported fields are the file machine.json.
type Machine struct {
	Name  string    `json:"name"`
	From  string    `json:"from"`  // path of the disk that it began with
	Size  int64     `json:"size"`  // of that disk, in bytes
	Time  time.Time `json:"time"`  // when that disk was written
	Boot  qemu.Boot `json:"boot"`  // the firmware
	Began time.Time `json:"began"` // when this machine was made
	// Empty says that it began with an empty disk, to which it installs itself. From, Size
	// and Time are then about the disk beside the image that it installs.
	Empty bool `json:"empty,omitempty"`
	// User can log in to a machine that began Empty; it may be empty.
	User string `json:"user,omitempty"`

	dir  string
	lock *os.File
}

// Files in a machine's folder, beside those that package qemu makes.
const (
	diskName   = "disk.raw"
	kernelName = "vmlinuz" // of a machine that began empty
	recordName = "machine.json"
	lockName   = "lock"
)

// unfinished begins the names of folders that are still being filled.
const unfinished = ".new-"

// Errors of Open.
var (
	ErrUnknown = errors.New("no machine is kept under this name")
	ErrRunning = errors.New("this machine is running")
)

var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses what is no name for a machine.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%q is no name for a machine: use up to 64 letters, digits, dots, hyphens and underscores, beginning with a letter or a digit", name)
	}
	return nil
}

// Open opens a machine until Close. The errors are ErrUnknown, with the nearest name, and
// ErrRunning.
func (s Store) Open(name string) (*Machine, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	m, err := read(filepath.Join(s.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.unknown(name)
	}
	if err != nil {
		return nil, fmt.Errorf("the machine %q: %w; `kairos-build machines remove %s` deletes it", name, err, name)
	}
	if m.lock, err = lockFile(filepath.Join(m.dir, lockName)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func (s Store) unknown(name string) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	var all []string
	for _, m := range list {
		all = append(all, m.Name)
	}
	if hint := nearest.DidYouMean(name, all); hint != "" {
		return fmt.Errorf("%q: %w: %s", name, ErrUnknown, hint)
	}
	return fmt.Errorf("%q: %w: `kairos-build run DIR --keep %s` begins it", name, ErrUnknown, name)
}

// Make makes and opens a machine with a copy of a disk. If it is interrupted there is no
// machine.
func (s Store) Make(ctx context.Context, name, disk string, boot qemu.Boot, now time.Time) (*Machine, error) {
	return s.make(name, disk, boot, now, func(m *Machine, dir string) error {
		return qemu.CopySparse(ctx, filepath.Join(dir, diskName), m.From)
	})
}

// MakeEmpty makes and opens a machine with an empty disk, for the image beside disk. kernel
// is that image's: KVM is tried with it. user will be able to log in.
func (s Store) MakeEmpty(name, disk string, kernel []byte, user string, boot qemu.Boot, now time.Time) (*Machine, error) {
	return s.make(name, disk, boot, now, func(m *Machine, dir string) error {
		m.Empty, m.User = true, user
		return errors.Join(qemu.WriteEmpty(filepath.Join(dir, diskName)), os.WriteFile(filepath.Join(dir, kernelName), kernel, 0o600))
	})
}

// make makes and opens a machine; fill writes its disk into a folder.
func (s Store) make(name, disk string, boot qemu.Boot, now time.Time, fill func(m *Machine, dir string) error) (*Machine, error) {
	m, err := s.plan(name, disk, boot, now)
	if err != nil {
		return nil, err
	}
	temporary, err := s.fill(m, fill)
	if err == nil {
		err = durable.Rename(temporary, m.dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keeping a machine: %w", err), os.RemoveAll(temporary))
	}
	return s.Open(name)
}

func (s Store) plan(name, disk string, boot qemu.Boot, now time.Time) (*Machine, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	info, err := os.Stat(disk)
	if err != nil {
		return nil, err
	}
	from, err := filepath.Abs(disk)
	if err != nil {
		return nil, err
	}
	return &Machine{
		Name: name, From: from, Size: info.Size(), Time: info.ModTime().UTC(), Boot: boot,
		Began: now.UTC().Truncate(time.Second), dir: filepath.Join(s.Dir, name),
	}, nil
}

// fill makes the folder under a temporary name.
func (s Store) fill(m *Machine, disk func(m *Machine, dir string) error) (string, error) {
	if err := errors.Join(os.MkdirAll(s.Dir, 0o700), s.sweep()); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(s.Dir, unfinished)
	if err != nil {
		return "", err
	}
	if err := disk(m, dir); err != nil {
		return dir, err
	}
	record, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return dir, err
	}
	return dir, os.WriteFile(filepath.Join(dir, recordName), append(record, '\n'), 0o600)
}

// sweep deletes what an interrupted Make left.
func (s Store) sweep() error {
	entries, err := os.ReadDir(s.Dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.Dir, e.Name())))
		}
	}
	return err
}

// List returns the machines, sorted by name. Folders without a readable record are left
// out.
func (s Store) List() ([]*Machine, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []*Machine
	for _, e := range entries {
		if m, err := read(filepath.Join(s.Dir, e.Name())); err == nil {
			list = append(list, m)
		}
	}
	return list, err
}

// Remove deletes a machine, also one with a damaged record. A running one stays.
func (s Store) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	dir := filepath.Join(s.Dir, name)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return s.unknown(name)
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return errors.Join(os.RemoveAll(dir), lock.Close())
}

func read(dir string) (*Machine, error) {
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return nil, err
	}
	m := &Machine{dir: dir}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("reading %s: %w", recordName, err)
	}
	if m.Name != filepath.Base(dir) || !slices.Contains(qemu.Boots(), m.Boot) {
		return nil, fmt.Errorf("reading %s: it is about the machine %q with firmware %q", recordName, m.Name, m.Boot)
	}
	return m, nil
}

// lockFile locks a file until it is closed; the kernel lets go when the process ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w: end it first", ErrRunning)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close lets another process open the machine.
func (m *Machine) Close() error { return m.lock.Close() }

// Dir is the folder for the files of package qemu.
func (m *Machine) Dir() string { return m.dir }

// Disk is the machine's own copy of the disk that it began with.
func (m *Machine) Disk() string { return filepath.Join(m.dir, diskName) }

// Kernel is the path of the kernel of a machine that began Empty.
func (m *Machine) Kernel() string { return filepath.Join(m.dir, kernelName) }

// Allocated is how many bytes the machine takes on the host.
func (m *Machine) Allocated() (total int64, err error) {
	err = filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var st unix.Stat_t
		err = unix.Lstat(path, &st)
		total += st.Blocks * 512
		return err
	})
	return total, err
}

// Outdated says whether a disk is not, or no more, the one that the machine began with.
func (m *Machine) Outdated(disk string) bool {
	info, err := os.Stat(disk)
	path, absErr := filepath.Abs(disk)
	return err != nil || absErr != nil || path != m.From || info.Size() != m.Size || !info.ModTime().Equal(m.Time)
}
