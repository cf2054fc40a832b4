// SPDX-License-Identifier: Apache-2.0

// Package bootstrap turns the .debs of a distribution's base set into one
// layer: a tar of the unpacked root with dpkg's database in it, as
// "dpkg --unpack" would leave it on a fresh root. "dpkg --configure -a", run
// inside that root, then finishes the installation.
//
// It needs no dpkg, tar, xz or root rights on the host. It runs no maintainer script:
// seed.go does what the preinst scripts of the base set do on a fresh root. It refuses
// .debs that are damaged, are not the expected ones, or try to write outside of the
// root or through a symlink.
package bootstrap

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A Package is a .deb and the facts that it must match.
type Package struct {
	Path          string // of the .deb
	Name, Version string
	Arch          string // Debian's name, or "all"
	SHA256        string // of the .deb, lower-case hex
}

// Options of Write.
type Options struct {
	// Epoch is the latest modification time in the layer; later ones are set
	// to it, earlier ones are kept. It must be set.
	Epoch time.Time
	// UsrMerge makes /bin, /sbin, /lib (and /lib64 on architectures that have
	// it) symlinks into /usr, whatever the packages ship.
	UsrMerge bool
	// Workers is how many packages are decompressed at the same time;
	// default: the number of CPUs. Each takes up to 20 MiB.
	Workers int
	// MaxSize bounds the unpacked size of one package, in bytes; default 4 GiB.
	MaxSize int64
}

// Write unpacks the packages into a tar that it writes to w. Their order does not
// matter: the same packages and options give the same bytes.
func Write(ctx context.Context, w io.Writer, packages []Package, o Options) error {
	if o.Epoch.IsZero() {
		return errors.New("BUG: bootstrap.Options.Epoch is not set")
	}
	packages, err := sorted(packages)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the decompressors after an error
	r := newRoot(tar.NewWriter(w), o, archOf(packages))
	if err := r.skeleton(); err != nil {
		return err
	}
	if err := unpackAll(ctx, r, packages, o); err != nil {
		return err
	}
	if err := errors.Join(r.seed(), r.writeDatabase()); err != nil {
		return err
	}
	if err := r.tw.Close(); err != nil {
		return fmt.Errorf("writing the base layer: %w", err)
	}
	return nil
}

func unpackAll(ctx context.Context, r *root, packages []Package, o Options) error {
	streams := decompressAll(ctx, packages, o)
	for _, p := range packages {
		d, err := (<-streams).wait(ctx)
		if err == nil {
			err = r.unpack(p, d)
		}
		if err != nil {
			return fmt.Errorf("unpacking %s %s (%s): %w", p.Name, p.Version, p.Path, err)
		}
	}
	return nil
}

// sorted puts base-files first, because its directories have the intended modes, and
// then the others by name.
func sorted(packages []Package) ([]Package, error) {
	rank := func(p Package) string {
		if p.Name == "base-files" {
			return ""
		}
		return p.Name
	}
	out := slices.Clone(packages)
	slices.SortFunc(out, func(a, b Package) int { return strings.Compare(rank(a), rank(b)) })
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name {
			return nil, fmt.Errorf("package %s is in the base set twice (%s and %s)", out[i].Name, out[i-1].Version, out[i].Version)
		}
	}
	return out, nil
}

// archOf is the architecture of the first package that is not "all", or empty.
func archOf(packages []Package) string {
	for _, p := range packages {
		if p.Arch != "all" {
			return p.Arch
		}
	}
	return ""
}
