// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Insert loads the module in file into the kernel, with its parameters as on
// modprobe's command line.
type Insert func(file, params string) error

// A Loader loads modules from Dir, each at most once. Everything but Index
// and Dir may be left zero.
type Loader struct {
	Index *Index
	Dir   string // the modules directory, such as /lib/modules/6.12.1-amd64
	// Params holds module parameters by normalised module name.
	Params map[string]string
	// Blacklist holds normalised names of modules that are not loaded for a
	// device. They can still be loaded by name.
	Blacklist map[string]bool
	Insert    Insert // default FinitModule
	Log       *slog.Logger

	tried  map[string]bool
	loaded int
}

// Loaded returns how many modules this loader has loaded.
func (l *Loader) Loaded() int { return l.loaded }

// ByName loads modules, given by name or alias, with all their dependencies. It
// goes on after an error, and returns all errors.
func (l *Loader) ByName(names ...string) error {
	var errs []error
	for _, m := range l.Index.Order(names...) {
		errs = append(errs, l.load(m))
	}
	return errors.Join(errs...)
}

// ByModalias loads the modules that a device asks for, except blacklisted ones. A
// module that does not load is no error: a device's alias is a guess.
func (l *Loader) ByModalias(modalias string) {
	for _, name := range l.Index.Resolve(modalias) {
		if l.Blacklist[name] {
			continue
		}
		for _, m := range l.Index.Order(name) {
			if err := l.load(m); err != nil {
				l.logger().Debug("a module was not loaded", "err", err)
			}
		}
	}
}

func (l *Loader) load(m Module) error {
	if l.tried[m.Name] {
		return nil
	}
	if l.tried == nil {
		l.tried = map[string]bool{}
	}
	l.tried[m.Name] = true
	insert := l.Insert
	if insert == nil {
		insert = FinitModule
	}
	err := insert(filepath.Join(l.Dir, m.Path), l.Params[m.Name])
	switch {
	case errors.Is(err, unix.EEXIST):
		return nil
	case err != nil:
		return fmt.Errorf("loading kernel module %s: %w", m.Name, err)
	}
	l.loaded++
	return nil
}

func (l *Loader) logger() *slog.Logger {
	if l.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l.Log
}

// FinitModule loads an uncompressed module with finit_module(2).
func FinitModule(file, params string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	err = unix.FinitModule(int(f.Fd()), params, 0)
	return errors.Join(err, f.Close())
}

// Refused says whether a module was not loaded only because this machine has no use
// for it, such as a crypto driver for instructions that the CPU lacks.
func Refused(err error) bool { return errors.Is(err, unix.ENODEV) }
