// SPDX-License-Identifier: Apache-2.0

// Package bootenv keeps the slot.State in GRUB's environment block: the file
// grubenv (framework/grub/grubenv) beside grub.cfg on the EFI partition. It is the
// node's side of framework/grub/bootconf.
//
// # How the state is changed
//
// The file system is not mounted, and no file system driver is involved. A Store finds
// the block by reading the FAT. It then overwrites the first 512 bytes of the block,
// one sector, in place, as GRUB does. The block's second sector is padding and never
// changes, and neither does anything else. A disk writes a sector as a whole or not at
// all, so after a power cut there is the old state or the new one.
//
// A save bypasses the page cache where the device allows it, is flushed, and read back.
// Meanwhile the device is locked (flock), so two agents exclude each other. Reading
// takes no lock.
//
// Other variables stay as they are, if there is room.
package bootenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// sectorSize is the unit of a write, in bytes.
const sectorSize = 512

// Errors of Open and Save. Each is wrapped in a sentence that says what to do.
var (
	ErrNoBlock = errors.New("no GRUB environment block") // or no safe way to change it
	ErrMounted = blockdev.ErrMounted
	ErrLocked  = blockdev.ErrLocked
)

// A Store is a slot.Store on one EFI partition. Its methods must not be called
// concurrently; those of two Stores may.
type Store struct {
	device string
	file   *os.File // read-only; holds the lock
	offset int64    // of the block, bytes
	// Tests replace these.
	open      func(device string) (medium, error)
	mountInfo string
}

var _ slot.Store = (*Store)(nil)

// Open finds the environment block on the FAT of an EFI partition, a block device such
// as /dev/vda2 or an image of one. It opens the partition for reading; Save needs the
// right to write. ErrNoBlock is wrapped with the reason.
func Open(device string) (*Store, error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, fmt.Errorf("opening the EFI partition: %w", err)
	}
	s := &Store{device: device, file: f, open: openMedium, mountInfo: blockdev.MountInfo}
	if s.offset, err = find(f); err != nil {
		return nil, errors.Join(fmt.Errorf("looking for GRUB's environment on %s: %w", device, err), f.Close())
	}
	return s, nil
}

// Close releases the device.
func (s *Store) Close() error { return s.file.Close() }

// Load returns the state that GRUB will use. If the block is damaged, the error says
// how, and the state is slot.Initial: GRUB knows no variable then and boots slot a. The
// next Save repairs the block.
func (s *Store) Load() (slot.State, error) {
	block, err := s.read()
	if err != nil {
		return slot.Initial(), err
	}
	state, err := Parse(block)
	if err != nil {
		err = fmt.Errorf("boot environment on %s: %w", s.device, err)
	}
	return state, err
}

// Save replaces the state. It writes nothing and returns an error for a state that
// slot.State.Check refuses, if the partition is mounted for writing (ErrMounted), and if
// another program holds it (ErrLocked).
func (s *Store) Save(state slot.State) error {
	_, err := s.Update(func(slot.State) (slot.State, error) { return state, nil })
	return err
}

// Update loads the state, calls change for the next one, and saves that. No other Store
// can save meanwhile. It returns the new state as read back from the medium, or the old
// state with the error of change or of saving. It writes nothing if the block is whole
// and the state the same.
func (s *Store) Update(change func(slot.State) (slot.State, error)) (state slot.State, err error) {
	unlock, err := blockdev.Lock(s.file)
	if err != nil {
		return slot.State{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	block, err := s.read()
	if err != nil {
		return slot.State{}, err
	}
	old, _ := Parse(block)
	next, err := Change(block, change)
	if err != nil {
		return old, err
	}
	if err := s.save(block, next); err != nil {
		return old, fmt.Errorf("saving the boot environment on %s: %w", s.device, err)
	}
	return s.Load()
}

// Change does the work of Update on a block of grubenv.Size bytes, whole or damaged. It
// returns the block with the state that change returns for the state of block. If
// change keeps the state of a whole block, the result is block. Only the first 512
// bytes, one sector, differ. Variables that are not in slot.VarNames stay as they are.
func Change(block []byte, change func(slot.State) (slot.State, error)) ([]byte, error) {
	old, damage := Parse(block)
	next, err := change(old)
	if err != nil {
		return nil, err
	}
	if next == old && damage == nil {
		return block, nil
	}
	sector, err := render(block, next)
	if err != nil {
		return nil, err
	}
	changed := append(sector, block[sectorSize:]...)
	if got, err := Parse(changed); err != nil || got != next {
		return nil, errors.Join(fmt.Errorf("BUG: the state %+v would be read as %+v", next, got), err)
	}
	return changed, nil
}

func (s *Store) save(block, next []byte) error {
	if bytes.Equal(next, block) {
		return nil
	}
	if err := blockdev.CheckUnmounted(s.file, s.mountInfo); err != nil {
		return err
	}
	m, err := s.open(s.device)
	if err != nil {
		return err
	}
	return errors.Join(overwrite(m, next[:sectorSize], s.offset), m.Close())
}

func (s *Store) read() ([]byte, error) {
	block := make([]byte, grubenv.Size)
	if _, err := s.file.ReadAt(block, s.offset); err != nil {
		return nil, fmt.Errorf("reading the boot environment on %s: %w", s.device, err)
	}
	return block, nil
}

// Parse reads a block of grubenv.Size bytes. Whatever is in it, the state is the one that
// GRUB will use, and passes slot.State.Check. The error says what is damaged.
func Parse(block []byte) (slot.State, error) {
	vars, err := grubenv.Decode(block)
	if err != nil {
		return slot.Initial(), err
	}
	return slot.ParseVars(vars)
}

// render makes the first sector of a block with state and with the other variables of
// block.
func render(block []byte, state slot.State) ([]byte, error) {
	if err := state.Check(); err != nil {
		return nil, fmt.Errorf("the state is not one that a node can have: %w", err)
	}
	if i := bytes.IndexFunc(block[sectorSize:], func(r rune) bool { return r != '#' }); i >= 0 {
		return nil, fmt.Errorf("%w of one sector: it has more than %d bytes of variables; remove yours with grub-editenv: %w", ErrNoBlock, sectorSize, grubenv.ErrTooLong)
	}
	vars := state.Vars()
	if others, err := grubenv.Decode(block); err == nil {
		ours := slot.VarNames()
		maps.DeleteFunc(others, func(name, _ string) bool { return slices.Contains(ours, name) })
		maps.Copy(vars, others)
	}
	whole, err := grubenv.Encode(vars)
	if err != nil {
		return nil, err
	}
	return slices.Clip(whole[:sectorSize]), nil
}

// size returns the size of a block device or a file, in bytes.
func size(f io.Seeker) (int64, error) { return f.Seek(0, io.SeekEnd) }
