// SPDX-License-Identifier: Apache-2.0

// Package kubernetes finds releases of k3s and k0s, fetches their files and makes
// inputs of a build from them. It trusts the publisher's file with checksums, which
// comes from the same server as the programs: neither publisher signs more than that
// in a form that both share. It starts no program of a release.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// ErrUnknown marks an error about a version or a channel that does not exist. The
// text of the error names the nearest that do.
var ErrUnknown = errors.New("unknown release")

// ErrUnfit marks an error about a locked release that is not the one that is asked for.
var ErrUnfit = errors.New("the locked release does not fit")

// Options of New.
type Options struct {
	Distribution release.Distribution
	// Wanted is a channel (v1.34, latest, stable), a version of Kubernetes (v1.34.1),
	// which means its newest release, or a release (v1.34.1+k3s1). The v may be left out.
	Wanted string
	Airgap bool // add the publisher's container images
	// Mirror is the address of a mirror (see docs/kubernetes.md), or empty for the
	// publisher.
	Mirror string
	Cache  string // folder of verified files
	Log    *slog.Logger
	// Pause is the time before a request is repeated; zero: one second.
	Pause time.Duration
}

// A Finder finds the release that a user asked for.
type Finder struct {
	Options
	wanted wanted
	from   publisher
	client *client
}

// New checks the options. It makes no request.
func New(o Options) (*Finder, error) {
	w, err := parseWanted(o.Distribution, o.Wanted)
	if err != nil {
		return nil, err
	}
	from := publisherOf(o.Distribution)
	if o.Mirror != "" {
		if err := checkMirror(o.Distribution, o.Mirror); err != nil {
			return nil, err
		}
		from = mirrorAt(o.Mirror)
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // the checksums are those of the files as they are
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	c := &client{http: fetch.Client(transport), pause: o.Pause, log: o.Log, advice: advice(o.Distribution)}
	return &Finder{o, w, from, c}, nil
}

// Kubernetes is the distribution that is asked for.
func (f *Finder) Kubernetes() release.Distribution { return f.Distribution }

// String is the distribution and what is wanted of it: k3s v1.34.
func (f *Finder) String() string { return fmt.Sprintf("%s %s", f.Distribution, f.wanted.text) }

// Find finds the release for an architecture, and the names and checksums of its files.
func (f *Finder) Find(ctx context.Context, arch string) (*Release, error) {
	if err := f.Distribution.CheckArch(arch); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	found, err := f.find(ctx, arch)
	if err != nil {
		return nil, err
	}
	return f.release(found, arch)
}

// find dispatches on the form of what is wanted.
func (f *Finder) find(ctx context.Context, arch string) (*published, error) {
	switch {
	case f.wanted.release != release.Version{}:
		return f.exact(ctx, arch)
	case f.wanted.kubernetes != "":
		return f.newest(ctx, arch)
	}
	return f.channel(ctx, arch)
}

// A published release is one whose checksums were read.
type published struct {
	version release.Version
	sums    release.Checksums
	folder  string // address of its files
	list    string // address of the checksums
}

// exact finds a release by its whole version.
func (f *Finder) exact(ctx context.Context, arch string) (*published, error) {
	p, err := f.checksums(ctx, f.wanted.release, arch)
	if errors.Is(err, errMissing) {
		return nil, f.noVersion(ctx, arch, f.wanted.release)
	}
	return p, err
}

// channel finds the release that a channel stands for.
func (f *Finder) channel(ctx context.Context, arch string) (*published, error) {
	channels, err := f.channels(ctx)
	if err != nil {
		return nil, err
	}
	version, ok := channels[f.wanted.text]
	if !ok {
		return nil, noChannel(f.Distribution, f.wanted.text, channels)
	}
	p, err := f.checksums(ctx, version, arch)
	if errors.Is(err, errMissing) {
		return nil, fmt.Errorf("channel %s of %s is %s, but %w: the mirror may be in the middle of an update; %s", f.wanted.text, f.Distribution, version, err, f.client.advice)
	}
	return p, err
}

// gap is how many numbers of rebuilds may be missing in a row: a rebuild that went
// wrong has a number, too.
const gap = 2

// newest finds the last release with a version of Kubernetes. The publishers have no
// list of them, so newest asks for one after the other.
func (f *Finder) newest(ctx context.Context, arch string) (*published, error) {
	p, err := f.rebuilds(ctx, arch, f.wanted.kubernetes)
	if err == nil && p == nil {
		return nil, f.noVersion(ctx, arch, rebuild(f.Distribution, f.wanted.kubernetes, 0))
	}
	return p, err
}

// rebuilds returns the last release with a version of Kubernetes, or nil.
func (f *Finder) rebuilds(ctx context.Context, arch, kubernetes string) (last *published, err error) {
	for number, missing := 0, 0; missing <= gap; number++ {
		p, err := f.checksums(ctx, rebuild(f.Distribution, kubernetes, number), arch)
		switch {
		case errors.Is(err, errMissing):
			missing++
		case err != nil:
			return nil, err
		default:
			last, missing = p, 0
		}
	}
	return last, nil
}

// checksums reads the checksums of a release. The error is errMissing if the
// publisher or the mirror does not have it.
func (f *Finder) checksums(ctx context.Context, v release.Version, arch string) (*published, error) {
	file, err := v.Checksums(arch)
	if err != nil {
		return nil, err
	}
	var data []byte
	for _, folder := range f.from.folders(v) {
		list := folder + "/" + escaped(file)
		if data, err = f.client.read(ctx, list); errors.Is(err, errMissing) {
			continue
		} else if err != nil {
			return nil, err
		}
		sums, err := release.ParseChecksums(data)
		if err != nil {
			return nil, fmt.Errorf("reading the checksums of %s (%s): %w: %s", v, fetch.Shown(list), err, f.client.advice)
		}
		return &published{v, sums, folder, list}, nil
	}
	return nil, err
}
