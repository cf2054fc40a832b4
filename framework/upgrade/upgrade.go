// SPDX-License-Identifier: Apache-2.0

// Package upgrade writes an image into the slot that does not run, and puts that slot on
// trial. It owns the order of the steps. It does not choose images, reboot, or judge
// whether the new system is healthy.
//
// # The order
//
//	lock       one upgrade at a time
//	choose     the slot to write, and whether the state allows it
//	open       the name becomes a digest, once; manifest and configuration
//	verify     the signature of that digest, by a Verifier
//	partitions of the slot; every layer is listed and present
//	release    family, architecture, model, version, Kubernetes: by the image's
//	           release file; labels and tag must agree with it
//	reserve    whether the image fits into the slot: by the builder's record, or else
//	           by a rehearsal
//	           ---- up to here, nothing was written ----
//	begin      the slot is bad from now on: one sector
//	spoil      its boot partition stops being a file system, so that an old kernel
//	           never meets a new root, whatever the boot loader tries
//	write      layers -> EROFS + dm-verity, in one stream; the hash is compared
//	           with the builder's or the rehearsal's; kernel and initrd follow
//	read back  everything, from the medium
//	arm        the slot is on trial: one sector
//	stage      the image's boot loader is put beside the old one, if it differs;
//	           if that fails, the old one stays and the slot is still on trial
//
// After any interruption the good slot is untouched and boots. Another Run starts from
// the beginning.
//
// # The rehearsal
//
// The size of a root image is known only once it is made. A builder records it in the
// manifest (slotimage.Image.Record). An upgrade trusts the record if it is about the
// image's layers. If the record is missing, or the image got another layer afterwards,
// the upgrade makes the root image once without writing it. That reads the layers
// twice, also from a registry. To change an image for many nodes, let kairos-build make
// the record.
//
// # Memory
//
// An upgrade holds the kernel and the initrd, about 1 KiB for each file, 1/128 of the
// root image, and about 40 MiB. Layers and the root image pass through in pieces. An
// image of 460 MiB with 30000 files and 57 MiB for the boot partition takes 150 MiB. The
// bounds of slotimage, layers and source keep a hostile image below 200 MiB; ci/attack
// measures it.
//
// # What cannot be known before the first write
//
// Without a rehearsal: whether all layers arrive and match the manifest. Also whether a
// builder's record about the right layers is false, and whether the medium keeps what is
// written to it. In no case is anything written beyond the end of a partition.
package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// LockFile is where a node keeps the lock.
const LockFile = "/run/kairos/upgrade.lock"

// An Installation is what an upgrade works on.
type Installation struct {
	Booted  layout.Slot       // the slot that runs
	Release map[string]string // layout.ImageRelease of the running system
	Store   slot.Store
	Lock    string // path; a missing directory is made
	// Open opens a partition by its GPT name, for reading and writing.
	Open       func(partition string) (Device, error)
	BootLoader BootLoader // of the node's disk
	// Verifier decides whether an image is trusted. Without one, none is, unless
	// Options.SkipVerify is set.
	Verifier Verifier
	// Floor has the keys of layout.ImageRelease of the newest image that was good on this
	// node. An older image is refused. Empty: the running system alone counts.
	Floor map[string]string
	// Against returns what speaks against an image with a release of k3s or k0s, or with
	// none if it is empty. Options.Force installs it nevertheless. Default: nothing does.
	Against func(ctx context.Context, kubernetes string) []error
}

// A BootLoader starts the slots of a node.
type BootLoader interface {
	slotimage.BootLoader
	// Stage puts the boot loader of an armed image beside this one. It replaces
	// nothing yet. Notes are sentences for a person.
	Stage(files map[string][]byte) (notes []string, err error)
}

// A Verifier decides whether an image may be installed, by its signatures. Run asks it
// before anything of the layers is read. Reasons are sentences: who signed it, and what is
// attested.
type Verifier interface {
	Verify(ctx context.Context, image *source.Image) (reasons []string, err error)
}

// Options of an upgrade.
type Options struct {
	Source   string         // oci:REF, dir:PATH, ocifile:FILE or file:PATH
	Registry source.Options // Arch is the node's if it is empty
	Recovery bool           // write the recovery slot, and no other
	Force    bool           // allow an older version, an image for another model, or what Against refuses
	Tries    int            // boots that the new slot gets, 1 to slot.MaxTries; default slot.MaxTries
	// SkipVerify installs an image that nobody vouches for. Result.Verified is then false.
	SkipVerify bool
	// Progress is called by one goroutine at a time; default none.
	Progress func(Progress)
	Log      *slog.Logger // default none
}

// Progress of a step, in bytes. Total is 0 if it is not known.
type Progress struct {
	Step        string
	Done, Total int64
}

// The steps that report progress.
const (
	StepCheck    = "checking"
	StepWrite    = "writing"
	StepReadBack = "reading back"
)

// Result is what an upgrade did. Its JSON names are stable.
type Result struct {
	Slot        layout.Slot `json:"slot"`
	Source      string      `json:"source"`
	Version     string      `json:"version"` // KAIROS_VERSION of the image
	From        string      `json:"from"`    // that of the running system
	SameVersion bool        `json:"sameVersion"`
	Digest      string      `json:"digest"`   // of the image's manifest
	RootHash    string      `json:"rootHash"` // dm-verity, 64 hex digits
	Bytes       int64       `json:"bytes"`    // of the root image with its hash tree
	Tries       int         `json:"tries"`    // boots that the slot gets; 0 for recovery
	Seconds     float64     `json:"seconds"`
	// Verified says that the image is trusted, and Trust why: who signed it, and what is
	// attested.
	Verified bool     `json:"verified"`
	Trust    []string `json:"trust,omitempty"`
	Warnings []string `json:"warnings"`
}

// Run upgrades the node. An error after the first write is an *IncompleteError.
func Run(ctx context.Context, n Installation, o Options) (result Result, err error) {
	start := time.Now()
	l, err := acquire(n.Lock)
	if err != nil {
		return Result{}, err
	}
	u := newRun(n, o)
	err = u.steps(ctx)
	if unlock := l.release(); unlock != nil {
		u.warn("giving back the lock: %v", unlock)
	}
	if err != nil {
		return Result{}, err
	}
	u.result.Seconds = time.Since(start).Seconds()
	return u.result, nil
}

// A run is one upgrade.
type run struct {
	node Installation
	Options
	result   Result
	plan     plan
	image    *source.Image
	release  map[string]string // the image's release file
	rootHash string            // that the root image must have
	made     int               // how many layers kairos-build made; 0 if that is not known, or does not matter
	root     *target
	boot     *target
	written  *slotimage.Image
}

func newRun(n Installation, o Options) *run {
	o.Tries = cmp.Or(o.Tries, slot.MaxTries)
	o.Registry.Arch = cmp.Or(o.Registry.Arch, n.Release[keyArch], runtime.GOARCH)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry.Log == nil {
		o.Registry.Log = o.Log
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return &run{node: n, Options: o, result: Result{Source: o.Source, From: n.Release["KAIROS_VERSION"], Warnings: []string{}}}
}

// steps runs the whole upgrade, in order.
func (u *run) steps(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, u.close()) }()
	for _, check := range []func(context.Context) error{u.choose, u.open, u.verify, u.partitions, u.present, u.fits, u.reserve} {
		u.Progress(Progress{Step: StepCheck})
		if err := unlessEnded(ctx, check); err != nil {
			return err
		}
	}
	if err := unlessEnded(ctx, u.begin); err != nil {
		return err
	}
	finish := func(context.Context) error { return u.close() }
	for _, change := range []func(context.Context) error{u.spoil, u.write, u.readBack, finish, u.arm} {
		if err := unlessEnded(ctx, change); err != nil {
			return u.incomplete(err)
		}
	}
	u.stageBootloader()
	return nil
}

// stageBootloader stages the image's boot loader. It skips that of a recovery image: the
// boot loader of the slots is newer, or proven.
func (u *run) stageBootloader() {
	if u.Recovery {
		return
	}
	notes, err := u.node.BootLoader.Stage(u.written.Bootloader)
	if err != nil {
		notes = append(notes, fmt.Sprintf("the boot loader stays as it is: %v", err))
	}
	for _, note := range notes {
		u.warn("%s", note)
	}
}

func unlessEnded(ctx context.Context, step func(context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return step(ctx)
}

func (u *run) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	u.Log.Warn(text)
	u.result.Warnings = append(u.result.Warnings, text)
}

// trust is what the slot's label says about who vouches for the image.
func (u *run) trust() string {
	if !u.result.Verified {
		return slotimage.Unverified
	}
	return strings.Join(u.result.Trust, "; ")
}

// verify asks the Verifier.
func (u *run) verify(ctx context.Context) (err error) {
	switch {
	case u.SkipVerify:
		u.warn("the image is installed without verification: nobody vouches for it")
		return nil
	case u.node.Verifier == nil:
		err = errors.New("this node has nothing to verify images with")
	default:
		u.result.Trust, err = u.node.Verifier.Verify(ctx, u.image)
	}
	if err != nil {
		return fmt.Errorf("%s (%s): %w: %w", u.Source, u.result.Digest, ErrRefused, err)
	}
	u.result.Verified = true
	return nil
}
