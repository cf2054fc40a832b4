// SPDX-License-Identifier: Apache-2.0

package inputs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A build holds its inputs until it ends: the engine reads them when it needs them, which may
// be an hour after they were added, and other builds collect old generations meanwhile. A key
// file that is held has a shared flock. The folder of the keys has an exclusive one while a key
// is looked up and held, or old ones are collected. The kernel releases both if the process
// dies.

// alone calls do while no other Store looks up, holds or collects.
func (s *Store) alone(do func() error) (err error) {
	dir, err := os.Open(s.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", s.keys, err)
	}
	return do()
}

// hold keeps a key file from being collected until Close.
func (s *Store) hold(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		return errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, f)
	return nil
}

// isHeld tells whether a Store holds a key file.
func isHeld(path string) (_ bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// Close lets the inputs go: others may collect them.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.held {
		errs = append(errs, f.Close())
	}
	s.held = nil
	return errors.Join(errs...)
}
