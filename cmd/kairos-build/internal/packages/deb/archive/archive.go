// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// A Source is one suite of one mirror.
type Source struct {
	Mirror string // base URL; http, https or file
	Suite  string // as in dists/SUITE: "trixie", "trixie-updates", "trixie-security"
}

// Options of Open. Sources, Arch, Keyring, Cache and Now must be set.
type Options struct {
	Sources    []Source
	Components []string // default: main
	Arch       string   // Debian's name: "amd64", "arm64"
	Keyring    []byte   // the distribution's public keys, binary or armored
	Keys       []string // fingerprints of those that may sign; none: all
	Cache      string   // folder; made when absent, may be shared between processes
	Now        time.Time

	Transport http.RoundTripper // default: NewTransport(Parallel, nil)
	Parallel  int               // downloads at the same time; default 8
	Stall     time.Duration     // longest time without a byte; default 30 s
	Retries   int               // further attempts after a passing failure; default 3, negative: none
	Backoff   time.Duration     // wait before the first further attempt, doubled each time; default 500 ms
	Log       *slog.Logger      // default: discard
}

func (o Options) withDefaults() Options {
	if len(o.Components) == 0 {
		o.Components = []string{"main"}
	}
	o.Parallel = cmp.Or(o.Parallel, 8)
	o.Stall = cmp.Or(o.Stall, 30*time.Second)
	o.Retries = max(0, cmp.Or(o.Retries, 3))
	o.Backoff = cmp.Or(o.Backoff, 500*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = NewTransport(o.Parallel, nil)
	}
	return o
}

// An Archive is a set of suites whose signatures and indexes are verified. Its
// methods may be called from several goroutines.
type Archive struct {
	*Pool
	keys   func() (openpgp.EntityList, error)
	suites []suite
}

// A suite is one source with its indexes, one per component.
type suite struct {
	Source
	release *Release
	indexes []*index
}

// Open fetches and verifies the Release of every source and opens their indexes, from
// the cache if the Release has not changed.
func Open(ctx context.Context, o Options) (*Archive, error) {
	// Debian's keyring takes 8 ms to check; this runs while the mirror answers.
	keys := sync.OnceValues(func() (openpgp.EntityList, error) { return parseKeyring(o.Keyring, o.Keys) })
	a := &Archive{Pool: NewPool(o), keys: keys, suites: make([]suite, len(o.Sources))}
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range o.Sources {
		g.Go(func() (err error) {
			a.suites[i], err = a.openSuite(ctx, s)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	a.warn()
	return a, nil
}

// warn says once of each key that it ends soon.
func (a *Archive) warn() {
	var said []string
	for _, r := range a.Releases() {
		if note := r.Signer.Note(a.o.Now); note != "" && !slices.Contains(said, note) {
			a.o.Log.Warn(note)
			said = append(said, note)
		}
	}
}

func (a *Archive) openSuite(ctx context.Context, src Source) (suite, error) {
	s := suite{Source: src, indexes: make([]*index, len(a.o.Components))}
	var err error
	if s.release, err = a.release(ctx, src); err != nil {
		return s, err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, c := range a.o.Components {
		g.Go(func() (err error) {
			s.indexes[i], err = a.openIndex(ctx, s, c)
			return err
		})
	}
	return s, g.Wait()
}

// release fetches and verifies one InRelease file.
func (a *Archive) release(ctx context.Context, src Source) (*Release, error) {
	address, err := join(src.Mirror, path.Join("dists", src.Suite, "InRelease"))
	if err != nil {
		return nil, err
	}
	raw, err := a.client.revalidate(ctx, path.Join(a.o.Cache, "release"), address)
	if err != nil {
		return nil, err
	}
	keys, err := a.keys()
	if err != nil {
		return nil, err
	}
	text, signer, err := verifyClearsigned(fetch.Shown(address), raw, keys, a.o.Now)
	if err != nil {
		return nil, err
	}
	r, err := parseRelease(text)
	if err != nil {
		return nil, problemf(ErrMismatch, "%s: is signed, but is no Release file: %v", fetch.Shown(address), err)
	}
	r.Source, r.URL, r.SHA256, r.Signer = src, address, sumOf(raw), signer
	return r, r.check(src.Suite, a.o.Arch, a.o.Now)
}

// join appends a path to a mirror's address.
func join(mirror, below string) (string, error) {
	u, err := url.Parse(mirror)
	if err != nil {
		return "", fmt.Errorf("mirror address %q: %w", mirror, err)
	}
	if s := u.Scheme; s != "http" && s != "https" && s != "file" {
		return "", fmt.Errorf("mirror address %q: want http://, https:// or file:///", mirror)
	}
	return u.JoinPath(below).String(), nil
}

// Releases returns the verified Releases, in the order of the sources.
func (a *Archive) Releases() []Release {
	out := make([]Release, len(a.suites))
	for i, s := range a.suites {
		out[i] = *s.release
	}
	return out
}

// Lookup returns the newest version of a package over all suites, or nil. If versions
// are equal, the first source wins.
func (a *Archive) Lookup(name string) (*Package, error) {
	var best *Package
	for _, s := range a.suites {
		for _, ix := range s.indexes {
			found, err := ix.find(name)
			if err != nil {
				return nil, fmt.Errorf("index of %s: %w", s.Suite, err)
			}
			for _, p := range found {
				if best != nil && CompareVersions(p.Version, best.Version) <= 0 {
					continue
				}
				if p.URL, err = join(s.Mirror, p.Filename); err != nil {
					return nil, err
				}
				p.Suite = s.Suite
				best = p
			}
		}
	}
	return best, nil
}

// providerNames returns, sorted, the packages with a version that provides the name.
func (a *Archive) providerNames(virtual string) []string {
	return a.collect(func(ix *index) []string { return ix.providers(virtual) })
}

// requiredNames returns, sorted, the Essential and required packages.
func (a *Archive) requiredNames() []string {
	return a.collect((*index).required)
}

// names returns every package name, sorted.
func (a *Archive) names() []string {
	return a.collect(func(ix *index) []string {
		out := make([]string, ix.size())
		for i := range out {
			out[i] = ix.name(i)
		}
		return out
	})
}

func (a *Archive) collect(from func(*index) []string) []string {
	var all []string
	for _, s := range a.suites {
		for _, ix := range s.indexes {
			all = append(all, from(ix)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Lock lists packages as text, one per line: name, version, architecture and SHA-256
// of the .deb, sorted. These facts decide the bytes of everything made from the
// packages, so Lock identifies the inputs.
func Lock(packages []*Package) []byte {
	lines := make([]string, len(packages))
	for i, p := range packages {
		lines[i] = strings.Join([]string{p.Name, p.Version, p.Arch, p.SHA256}, " ") + "\n"
	}
	slices.Sort(lines)
	var out bytes.Buffer
	for _, l := range slices.Compact(lines) {
		out.WriteString(l)
	}
	return out.Bytes()
}
