// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/kubernetes"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/lock"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/recipes"
)

// LockOptions are the options of Lock and Outdated.
type LockOptions struct {
	Flavor string // name of a built-in flavor, or path of a user's own
	File   string // default: flavors.LockFile
	Update bool   // replace a lock that is there
	Base   string // image to lock; default: the one of the lock
	// Arches are the architectures to lock; default: those of the lock, or of the flavor.
	Arches []string
	// Kubernetes are the releases to lock, besides those of the lock and of the flavor.
	Kubernetes []WantedKubernetes
	Packages   []string // besides those of the flavor
	// Find makes a finder of releases.
	Find     func(WantedKubernetes) (Kubernetes, error)
	Families map[string]Packages // by the names that flavors use
	State    string              // folder that outlives a build; see MakeState
	Now      time.Time
	Progress progress.Reporter
	Log      *slog.Logger
}

// A WantedKubernetes is a Kubernetes that a user asks for.
type WantedKubernetes struct {
	Distribution release.Distribution
	Wanted       string
	Airgap       bool
}

// A LockResult says what a lock is now, or would be.
type LockResult struct {
	Flavor   string        `json:"flavor"`
	File     string        `json:"file"`
	Digest   string        `json:"digest"`   // sha256:<hex> of the file
	Made     string        `json:"made"`     // RFC 3339
	Packages int           `json:"packages"` // of all architectures and models
	Written  bool          `json:"written"`  // the file is new, or another one than before
	Changes  []lock.Change `json:"changes"`  // from the lock of before
}

// locking is one run of Lock or Outdated.
type locking struct {
	LockOptions
	recorder
	flavor   *flavors.Flavor
	packages Packages
	old      *locked // nil: there is none
}

// Lock writes the lock of a flavor. Without Update it leaves a lock that is there as it
// is, and checks that it fits.
func Lock(ctx context.Context, o LockOptions) (*LockResult, error) {
	l, err := prepareLock(o)
	if err != nil {
		return nil, err
	}
	if l.old != nil && !o.Update {
		return l.result(l.old.Lock, l.old.digest, false), l.checkOld()
	}
	fresh, err := l.fresh(ctx, true)
	if err != nil {
		return nil, err
	}
	return l.write(fresh)
}

// Outdated compares a lock with the one that Lock would write now. It writes nothing, and
// downloads no file of a Kubernetes.
func Outdated(ctx context.Context, o LockOptions) (*LockResult, error) {
	l, err := prepareLock(o)
	if err != nil {
		return nil, err
	}
	if l.old == nil {
		_, err := openLock(l.File, o.Flavor)
		return nil, badInput(err)
	}
	fresh, err := l.fresh(ctx, false)
	if err != nil {
		return nil, err
	}
	r := l.result(l.old.Lock, l.old.digest, false)
	r.Changes = append(r.Changes, lock.Changes(l.old.Lock, fresh)...)
	return r, nil
}

// prepareLock loads the flavor and the lock that is there.
func prepareLock(o LockOptions) (*locking, error) {
	flavor, err := flavors.Open(o.Flavor)
	if err != nil {
		return nil, badInput(err)
	}
	o.File = cmp.Or(o.File, flavors.LockFile(o.Flavor))
	l := &locking{LockOptions: o, recorder: recorder{to: o.Progress}, flavor: flavor, packages: o.Families[flavor.Family]}
	if l.packages == nil {
		return nil, fmt.Errorf("BUG: flavor %s: nothing resolves packages of the family %q", flavor.Name, flavor.Family)
	}
	if !exists(o.File) {
		return l, MakeState(o.State)
	}
	if l.old, err = openLock(o.File, o.Flavor); err != nil {
		return nil, badInput(err)
	}
	if err := l.old.isOf(flavor.Name); err != nil {
		return nil, badInput(err)
	}
	return l, MakeState(o.State)
}

// LockHas reports whether the lock of a flavor has a Kubernetes; file is empty for the
// flavor's own lock. A lock that cannot be read may have it: Lock says what is wrong.
func LockHas(flavor, file string, d release.Distribution) bool {
	file = cmp.Or(file, flavors.LockFile(flavor))
	if !exists(file) {
		return false
	}
	l, err := openLock(file, flavor)
	return err != nil || slices.ContainsFunc(l.Machines, func(m lock.Machine) bool { return m.Of(d) != nil })
}

// arches are the architectures that the lock is about.
func (l *locking) arches() []string {
	switch {
	case len(l.Arches) > 0:
		return l.Arches
	case l.old != nil:
		var all []string
		for _, m := range l.old.Machines {
			all = append(all, m.Arch)
		}
		return all
	}
	return l.flavor.Arches()
}

// choices are all images that the flavor can be built as.
func (l *locking) choices() ([]recipes.Choice, error) {
	var all []recipes.Choice
	for _, arch := range l.arches() {
		for _, model := range l.flavor.ModelNames() {
			c, err := recipes.Choose(l.flavor, recipes.Options{Arch: arch, Model: model, Packages: l.Packages})
			if err != nil {
				return nil, badInput(err)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// checkOld says where the lock that is there does not fit.
func (l *locking) checkOld() error {
	choices, err := l.choices()
	if err != nil {
		return err
	}
	for _, c := range choices {
		if differences := l.old.Differences(c); len(differences) > 0 {
			return badInput(unfit(l.File, l.Flavor, nil, differences...))
		}
	}
	if l.Base != "" || len(l.Kubernetes) > 0 {
		return badInput(fmt.Errorf("%s is there already: add --update to change it", l.File))
	}
	return nil
}

// fresh makes the lock of now. If fetch is true, the files of Kubernetes are fetched, and
// have sizes.
func (l *locking) fresh(ctx context.Context, fetch bool) (*lock.Lock, error) {
	choices, err := l.choices()
	if err != nil {
		return nil, err
	}
	fresh := lock.New(l.flavor, l.Now)
	for _, c := range choices {
		set, err := l.resolve(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := fresh.Add(c, set.Facts); err != nil {
			return nil, err
		}
	}
	for i := range fresh.Machines {
		if err := l.complete(ctx, &fresh.Machines[i], fetch); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

func (l *locking) resolve(ctx context.Context, c recipes.Choice) (set *packages.Set, err error) {
	err = l.step(fmt.Sprintf("archive: verify and resolve %s, %s, %s", l.flavor.Name, c.Arch, c.Model), func(progress.Step) (bool, error) {
		set, err = l.packages.Resolve(ctx, c)
		return false, err
	})
	return set, err
}

// complete adds the base image and the releases of Kubernetes.
func (l *locking) complete(ctx context.Context, m *lock.Machine, fetch bool) error {
	var before lock.Machine
	if l.old != nil && l.old.Machine(m.Arch) != nil {
		before = *l.old.Machine(m.Arch)
	}
	base, err := l.base(ctx, m.Arch, before.Base)
	if err != nil {
		return err
	}
	m.Base = base
	for _, w := range l.wanted(before.Kubernetes) {
		k, err := l.kubernetes(ctx, w, m.Arch, fetch)
		if err != nil {
			return err
		}
		m.Kubernetes = append(m.Kubernetes, *k)
	}
	return nil
}

// base looks up the base image. One that was a folder or a file stays as it was locked,
// unless it is named again.
func (l *locking) base(ctx context.Context, arch string, before *lock.Base) (base *lock.Base, err error) {
	ref := l.Base
	if ref == "" && before != nil {
		ref = before.Name
	}
	if ref == "" {
		return before, nil
	}
	err = l.step("base: look up "+ref, func(progress.Step) (bool, error) {
		image, err := source.Open(ctx, ref, source.Options{Arch: arch})
		if err != nil {
			return false, badInput(err)
		}
		id, err := image.Digest()
		if err != nil {
			return false, fmt.Errorf("%s: %w", ref, err)
		}
		base = &lock.Base{Name: baseName(ref, "").Name, Digest: id.String()}
		return false, nil
	})
	return base, err
}

// wanted are the releases to lock: those that are asked for now, and those that were
// asked for when the lock was made.
func (l *locking) wanted(before []lock.Kubernetes) []WantedKubernetes {
	var all []WantedKubernetes
	for _, d := range release.Distributions() {
		w := WantedKubernetes{Distribution: d}
		for _, k := range before {
			if k.Version.Distribution() == d {
				w.Wanted, w.Airgap = k.Wanted, k.Images != nil
			}
		}
		for _, now := range append(ofFlavor(l.flavor.Default), l.Kubernetes...) {
			if now.Distribution == d {
				w = now
			}
		}
		if w.Wanted != "" {
			all = append(all, w)
		}
	}
	return all
}

// ofFlavor is the Kubernetes that a flavor asks for, if it does.
func ofFlavor(d flavors.Defaults) (all []WantedKubernetes) {
	for distribution, version := range map[release.Distribution]string{release.K3s: d.K3s, release.K0s: d.K0s} {
		if version != "" {
			all = append(all, WantedKubernetes{Distribution: distribution, Wanted: version, Airgap: d.Airgap})
		}
	}
	return all
}

func (l *locking) kubernetes(ctx context.Context, w WantedKubernetes, arch string, fetch bool) (locked *lock.Kubernetes, err error) {
	finder, err := l.Find(w)
	if err != nil {
		return nil, badInput(err)
	}
	err = l.step("kubernetes: lock "+finder.String(), func(step progress.Step) (bool, error) {
		r, err := finder.Find(ctx, arch)
		if errors.Is(err, kubernetes.ErrUnknown) {
			err = badInput(err)
		}
		if err == nil && fetch {
			err = r.Measure(ctx, step.Progress)
		}
		if err != nil {
			return false, err
		}
		k := releaseToLock(r, finder.Wanted())
		locked = &k
		return false, nil
	})
	return locked, err
}

// arguments are those of the command that writes the lock again.
func (l *locking) arguments() string { return lockArguments(l.Flavor, l.File) }

// write writes the lock, unless only its time would be another one.
func (l *locking) write(fresh *lock.Lock) (*LockResult, error) {
	var changes []lock.Change
	if l.old != nil {
		changes = lock.Changes(l.old.Lock, fresh)
		if same, err := l.same(fresh); same || err != nil {
			return l.result(l.old.Lock, l.old.digest, false), err
		}
	}
	data, err := fresh.Print(l.arguments())
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(l.File), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the lock: %w; choose another with --lock", err)
	}
	if err := durable.Write(l.File, data, 0o644); err != nil {
		return nil, fmt.Errorf("writing the lock: %w; choose another file with --lock", err)
	}
	r := l.result(fresh, digest.FromBytes(data).String(), true)
	r.Changes = append(r.Changes, changes...)
	return r, nil
}

// same reports whether the locks differ in nothing but the time when they were made.
func (l *locking) same(fresh *lock.Lock) (bool, error) {
	then := *fresh
	then.Made = l.old.Made
	a, errA := l.old.Print(l.arguments())
	b, errB := then.Print(l.arguments())
	return bytes.Equal(a, b), errors.Join(errA, errB)
}

func (l *locking) result(of *lock.Lock, digest string, written bool) *LockResult {
	r := &LockResult{Flavor: of.Flavor, File: l.File, Digest: digest, Made: of.Made.Format(time.RFC3339), Written: written, Changes: []lock.Change{}}
	for _, m := range of.Machines {
		r.Packages += len(m.Packages)
	}
	return r
}
