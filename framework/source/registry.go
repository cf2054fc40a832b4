// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

const dialTimeout = 15 * time.Second

// pull opens an image in the first place that has it: a mirror or the registry.
func pull(ctx context.Context, ref string, o Options) (*Image, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a folder, a file nor an image reference: %w", ref, err)
	}
	r, err := newPuller(o)
	if err != nil {
		return nil, err
	}
	places, err := places(parsed, o.Mirrors)
	if err != nil {
		return nil, err
	}
	var all []error
	for i, place := range places {
		image, err := r.open(ctx, place)
		if last := i == len(places)-1; err == nil && !last {
			err = Present(ctx, image) // a mirror may have half of the image
		}
		if err == nil {
			return r.named(ctx, image, parsed, places[i+1:]), nil
		}
		all = append(all, err)
		if ctx.Err() != nil || i == len(places)-1 {
			break
		}
		o.Log.Warn("the mirror does not give the image; asking the next", "mirror", place.Context().RegistryStr(), "error", err)
	}
	return nil, errors.Join(all...)
}

// named notes what was asked for, and the places after the one that has the image: a mirror
// may have an image without its signatures.
func (p *puller) named(ctx context.Context, image *Image, ref name.Reference, after []name.Reference) *Image {
	image.Name = ref.Context().Name()
	if tag, ok := ref.(name.Tag); ok {
		image.Tag = tag.TagStr()
	}
	for _, place := range after {
		image.shelves = append(image.shelves, &laterShelf{signIn: func() (*repository, error) { return p.repository(ctx, place.Context()) }})
	}
	return image
}

// places returns where to look for an image, in order: the mirrors of its
// registry, then the registry.
func places(ref name.Reference, mirrors map[string][]string) ([]name.Reference, error) {
	host := ref.Context().RegistryStr()
	var found []name.Reference
	for _, key := range slices.Sorted(maps.Keys(mirrors)) {
		registry, err := name.NewRegistry(key) // some registries have two names
		if err != nil {
			return nil, fmt.Errorf("mirrors of %q: %w", key, err)
		}
		if registry.RegistryStr() != host {
			continue
		}
		for _, mirror := range mirrors[key] {
			place, err := mirrored(ref, mirror)
			if err != nil {
				return nil, fmt.Errorf("mirror %q of %s: %w", mirror, host, err)
			}
			found = append(found, place)
		}
	}
	return append(found, ref), nil
}

func mirrored(ref name.Reference, mirror string) (name.Reference, error) {
	var opts []name.Option
	rest, plain := strings.CutPrefix(mirror, "http://")
	if plain {
		opts = append(opts, name.Insecure)
	}
	rest = strings.TrimSuffix(strings.TrimPrefix(rest, "https://"), "/")
	if rest == "" || strings.Contains(rest, "://") {
		return nil, errors.New("want https://HOST[/PREFIX], http://HOST[/PREFIX] or HOST")
	}
	separator := ":"
	if _, ok := ref.(name.Digest); ok {
		separator = "@"
	}
	return name.ParseReference(rest+"/"+ref.Context().RepositoryStr()+separator+ref.Identifier(), opts...)
}

// A puller opens images in registries.
type puller struct {
	Options
	keys authn.Keychain
	base http.RoundTripper
}

func newPuller(o Options) (*puller, error) {
	keys, err := keychain(o.Auth)
	if err != nil {
		return nil, err
	}
	roots, err := rootCAs(o.CAFile)
	if err != nil {
		return nil, err
	}
	return &puller{o, keys, guarded{fetch.Transport(&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // a Range counts the bytes of the blob itself
		ResponseHeaderTimeout: o.StallTimeout,
		IdleConnTimeout:       o.StallTimeout,
	})}}, nil
}

// rootCAs returns the system's certificates and those of a file. nil stands for
// the system's alone.
func rootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("reading certificates: %s has none in PEM form (-----BEGIN CERTIFICATE-----)", file)
	}
	return roots, nil
}

// open opens an image in one registry.
func (p *puller) open(ctx context.Context, ref name.Reference) (*Image, error) {
	repo, err := p.repository(ctx, ref.Context())
	if err != nil {
		return nil, p.explain(ctx, ref.Name(), ref.Context(), err)
	}
	media, data, err := repo.root(ref)
	if err != nil {
		return nil, p.explain(ctx, ref.Name(), ref.Context(), err)
	}
	image, chain, err := find(repo, media, data, p.platform())
	if err != nil {
		return nil, p.explain(ctx, ref.Name(), ref.Context(), err)
	}
	return &Image{Image: image, Chain: chain, shelves: []shelf{repo}}, nil
}

// repository signs in and returns the store of a registry.
func (p *puller) repository(ctx context.Context, repo name.Repository) (*repository, error) {
	inner, err := p.signIn(ctx, repo)
	if err != nil {
		return nil, err
	}
	return &repository{ctx: ctx, name: repo, client: fetch.Client(&steady{inner: inner, stall: p.StallTimeout, patience: p.patience()})}, nil
}

// signIn makes a transport that carries the credentials. It stands below steady,
// so that steady can ask for the rest of a blob with a new token.
func (p *puller) signIn(ctx context.Context, repo name.Repository) (inner http.RoundTripper, err error) {
	auth, err := authn.Resolve(ctx, p.keys, repo)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's credentials: %w", err)
	}
	err = p.patience().try(ctx, "signing in at "+repo.RegistryStr(), func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, 2*p.StallTimeout, fetch.ErrStalled)
		defer cancel()
		inner, err = transport.NewWithContext(ctx, repo.Registry, auth, p.base, []string{repo.Scope(transport.PullScope)})
		return err
	})
	return inner, err
}

// explain adds what was asked for, the kind of error and a remedy to an error.
func (p *puller) explain(ctx context.Context, what string, repo name.Repository, err error) error {
	err = fetch.Scrubbed(err)
	code := 0
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		code = answer.StatusCode
	}
	host := repo.RegistryStr()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case isAbout(err, ErrAltered, ErrMissing, ErrTooLarge, ErrNotImage, ErrPlatform):
		return fmt.Errorf("%s: %w", what, err)
	case code == http.StatusNotFound:
		return fmt.Errorf("%s: %w: %w", what, ErrNotFound, err)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("%s: %w: %w: put the credentials of %s into %s, or name another file", what, ErrDenied, err, host, DefaultAuth)
	case errors.Is(err, ErrPlain):
		return fmt.Errorf("%s: %w; serve the registry over https, or remove the credentials for it", what, err)
	case isCertificate(err):
		return fmt.Errorf("%s: %w: %w: give the certificate of its authority in a file", what, ErrUntrusted, err)
	}
	return fmt.Errorf("%s: %w: %w: check the name, the network and the proxy", what, ErrRegistry, err)
}

// isAbout says whether an error is one of kinds: about the image, not the way to it.
func isAbout(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}
