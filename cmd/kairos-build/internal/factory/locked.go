// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/kubernetes"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/lock"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/fetch"
)

// locked is the lock of a build.
type locked struct {
	*lock.Lock
	file   string
	digest string // sha256:<hex> of the file
}

// digestText is the digest, or empty without a lock.
func (l *locked) digestText() string {
	if l == nil {
		return ""
	}
	return l.digest
}

// readLock reads the lock of the options, and checks that it fits everything that is
// asked for. It is called before anything is downloaded.
func (b *build) readLock() (err error) {
	if b.Lock == "" {
		return nil
	}
	if b.locked, err = openLock(b.Lock, b.ref, b.lockFlags()...); err != nil {
		return err
	}
	if err := b.locked.isOf(b.choice.Flavor.Name); err != nil {
		return err
	}
	if differences := b.locked.Differences(b.choice); len(differences) > 0 {
		return unfit(b.Lock, b.ref, packageFlags(b.Packages), differences...)
	}
	b.digests = append(b.digests, Input{Name: "lock " + b.Flavor, Digest: b.locked.digest})
	return errors.Join(b.lockedKubernetes(), b.hasBase())
}

// lockFlags are the flags of this build that a new lock needs, too.
func (b *build) lockFlags() (flags []string) {
	if b.Kubernetes != nil {
		flags = append(flags, b.Kubernetes.Flags())
	}
	if b.Base != "" {
		flags = append(flags, "--base "+b.Base)
	}
	return append(flags, packageFlags(b.Packages)...)
}

func packageFlags(names []string) (flags []string) {
	for _, name := range names {
		flags = append(flags, "--package "+name)
	}
	return flags
}

// lockArguments are the arguments of `kairos-build lock` for this flavor, file and flags.
// ref is the flavor as the user named it. Its own lock file is the default of the command.
func lockArguments(ref, file string, flags ...string) string {
	words := []string{ref}
	if filepath.Clean(file) != filepath.Clean(flavors.LockFile(ref)) {
		words = append(words, "--lock "+file)
	}
	return strings.Join(append(words, flags...), " ")
}

// openLock reads a lock. ref is the flavor as the user named it. flags complete the
// command that makes the lock.
func openLock(file, ref string, flags ...string) (*locked, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no lock %s: `kairos-build lock %s` makes one", file, lockArguments(ref, file, flags...))
	} else if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	l, err := lock.Parse(file, data)
	if err != nil {
		return nil, fmt.Errorf("the lock cannot be used:\n%w", err)
	}
	return &locked{l, file, digest.FromBytes(data).String()}, nil
}

// isOf checks that the lock is that of a flavor.
func (l *locked) isOf(flavor string) error {
	if l.Flavor == flavor {
		return nil
	}
	return fmt.Errorf("%s is the lock of the flavor %s, not of %s: name another file with --lock", l.file, l.Flavor, flavor)
}

// unfit is the error about a lock that does not fit. flags complete the command that
// makes it fit.
func unfit(file, ref string, flags []string, differences ...string) error {
	return fmt.Errorf("the lock %s does not fit: %s: `kairos-build lock --update %s` makes it fit, --no-lock builds without it", file, strings.Join(differences, "; "), lockArguments(ref, file, flags...))
}

// lockedKubernetes takes the release from the lock.
func (b *build) lockedKubernetes() error {
	if b.Kubernetes == nil {
		return nil
	}
	d, flags := b.Kubernetes.Kubernetes(), b.Kubernetes.Flags()
	k := b.locked.Machine(b.choice.Arch).Of(d)
	if k == nil {
		return unfit(b.Lock, b.ref, []string{flags}, fmt.Sprintf("the lock has no %s", d))
	}
	var err error
	if b.release, err = b.Kubernetes.Locked(lockedRelease(k), b.Lock); errors.Is(err, kubernetes.ErrUnfit) {
		return fmt.Errorf("%w: `kairos-build lock --update %s` locks what is asked for, --no-lock builds without the lock", err, lockArguments(b.ref, b.Lock, flags))
	}
	return err
}

func lockedRelease(k *lock.Kubernetes) kubernetes.Locked {
	file := func(f lock.File) kubernetes.File {
		return kubernetes.File{Name: f.Name, URL: f.URL, SHA256: f.SHA256, Size: f.Size}
	}
	l := kubernetes.Locked{Wanted: k.Wanted, Version: k.Version, Program: file(k.Program)}
	if k.Images != nil {
		images := file(*k.Images)
		l.Images = &images
	}
	return l
}

// releaseToLock is the reverse of lockedRelease.
func releaseToLock(r *kubernetes.Release, wanted string) lock.Kubernetes {
	file := func(f kubernetes.File) lock.File {
		return lock.File{Name: f.Name, URL: lockedAddress(f.URL), SHA256: f.SHA256, Size: f.Size}
	}
	k := lock.Kubernetes{Wanted: wanted, Version: r.Version, Program: file(r.Program)}
	if r.Images != nil {
		images := file(*r.Images)
		k.Images = &images
	}
	return k
}

// lockedAddress is an address without user, password and query. Its path is whole, so that
// builds can fetch the file.
func lockedAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return fetch.Shown(address)
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// lockedSet makes the packages of the choice from the lock.
func (b *build) lockedSet() (*packages.Set, error) {
	facts, err := b.locked.Facts(b.choice.Arch, b.choice.Model)
	if err != nil {
		return nil, err
	}
	return b.packages.Locked(b.choice, facts, b.Lock)
}

// advise says what to do about a locked package that no archive has any more.
func (b *build) advise(err error) error {
	if errors.Is(err, packages.ErrGone) {
		return fmt.Errorf("%w; lock what the archive has now (`kairos-build lock --update %s`), or name an archive that has the package with --mirror URL or --mirror snapshot=URL", err, lockArguments(b.ref, b.Lock))
	}
	return err
}

// hasBase checks that the lock has the image of --base.
func (b *build) hasBase() error {
	if b.Base == "" {
		return nil
	}
	base, flags := b.locked.Machine(b.choice.Arch).Base, []string{"--base " + b.Base}
	if base == nil {
		return unfit(b.Lock, b.ref, flags, "the lock has no image for --base")
	}
	if want := baseName(b.Base, base.Digest); want.Name != base.Name {
		return unfit(b.Lock, b.ref, flags, fmt.Sprintf("--base is %s, the lock has %s", b.Base, lockedBaseText(base)))
	}
	return nil
}

func lockedBaseText(base *lock.Base) string {
	if base.Name == "" {
		return "a folder or a file with the digest " + base.Digest
	}
	return base.Name + "@" + base.Digest
}

// lockedBase is the reference to open for --base: with a lock, an image of a registry is
// named by its digest.
func (b *build) lockedBase() (string, error) {
	scheme, _, _ := strings.Cut(b.Base, ":")
	if b.locked == nil || exists(b.Base) || slices.Contains([]string{"dir", "file", "ocifile"}, scheme) {
		return b.Base, nil
	}
	tag, err := name.ParseReference(strings.TrimPrefix(b.Base, "oci:"))
	if err != nil {
		return "", badInput(err)
	}
	return tag.Context().Digest(b.locked.Machine(b.choice.Arch).Base.Digest).String(), nil
}

// isLockedBase checks the digest of the base image.
func (b *build) isLockedBase(image v1.Image) error {
	if b.locked == nil {
		return nil
	}
	got, err := image.Digest()
	if err != nil {
		return fmt.Errorf("%s: %w", b.Base, err)
	}
	if want := b.locked.Machine(b.choice.Arch).Base.Digest; got.String() != want {
		return badInput(unfit(b.Lock, b.ref, []string{"--base " + b.Base}, fmt.Sprintf("%s is %s, the lock has %s", b.Base, got, want)))
	}
	return nil
}
