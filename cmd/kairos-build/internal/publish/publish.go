// SPDX-License-Identifier: Apache-2.0

// Package publish puts images into a registry, in an order in which no tag ever names an
// image that is not complete and signed:
//
//	blobs                 what the registry has is skipped, or mounted from another repository
//	evidence, signatures  attached to the digest of each image, and of the index of several
//	images                by digest; then the index
//	tag                   last, and only if it is free or moving it was asked for
//
// After an interruption the next run does what is missing and sends nothing twice.
//
// Attachments are OCI referrers. A registry with the referrers API lists them; for one
// without, the list is kept below the tag sha256-<hex> of the OCI distribution
// specification.
//
// The package neither makes evidence nor signs: Evidence and Signer do. On this machine it
// writes nothing but attachments into OCI layouts (Layout).
package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// Options say where images go.
type Options struct {
	// Target is REGISTRY/NAME or REGISTRY/NAME:TAG. Without a tag, an image gets its name
	// (framework/source/reference) as its tag.
	Target string
	// MoveTag lets a tag that names another image name this one.
	MoveTag bool
	// MountFrom names repositories of the same registry that may have the blobs.
	MountFrom []string
	// Insecure allows HTTP without TLS, to a registry on this machine alone.
	Insecure bool
	// Arch picks from an image in a registry or a tar with several. Default that of this
	// program.
	Arch string
	// Evidence may be nil.
	Evidence Evidence
	// Signer may be nil only if Unsigned is true, or the images bring signatures along.
	Signer   Signer
	Unsigned bool
	// Carry attaches what is attached to the images where they come from: an OCI layout, or
	// a registry.
	Carry bool
	// IsSignature tells which attachments are signatures. Default: none is.
	IsSignature func(Attachment) bool
	// Keys has the credentials. Default those of docker's and podman's configuration and
	// their credential helpers.
	Keys authn.Keychain
	// StallTimeout ends a request when no byte moves. Default 60 s.
	StallTimeout time.Duration
	// Retries is how often a request is sent again after a failure that may pass.
	// Default 5, negative for none.
	Retries int
	// Backoff is the pause before the first retry; it doubles up to 16 s. Default 500 ms.
	Backoff  time.Duration
	Progress progress.Reporter
	Log      *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Keys == nil {
		o.Keys = authn.DefaultKeychain
	}
	o.StallTimeout = cmp.Or(o.StallTimeout, time.Minute)
	o.Retries = max(0, cmp.Or(o.Retries, 5))
	o.Backoff = cmp.Or(o.Backoff, 500*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Publisher publishes to one repository.
type Publisher struct {
	Options
	*registry
	repo  name.Repository
	tag   string // the user's; may be empty
	mount []name.Repository
}

// Open checks the target and the credentials, and that they may write.
func Open(ctx context.Context, o Options) (*Publisher, error) {
	p := &Publisher{Options: o.withDefaults()}
	if err := p.readTarget(); err != nil {
		return nil, badInput(err)
	}
	if p.Signer == nil && !p.Unsigned && !p.Carry {
		return nil, badInput(errUnsigned)
	}
	err := p.step("registry: "+p.repo.String(), func(progress.Step) (cached bool, err error) {
		if p.registry, err = signIn(ctx, p.Options, p.repo, p.scopes()...); err == nil {
			err = p.checkAccess(ctx)
		}
		return false, p.explain(ctx, err)
	})
	return p, p.interrupted(ctx, err, noTag)
}

// scopes are those of writing to the repository, and of reading from those to mount from.
func (p *Publisher) scopes() []string {
	all := []string{p.repo.Scope(transport.PushScope)}
	for _, other := range p.mount {
		all = append(all, other.Scope(transport.PullScope))
	}
	return all
}

// readTarget reads the target and the repositories to mount from.
func (p *Publisher) readTarget() (err error) {
	if p.repo, p.tag, err = parseTarget(p.Target, p.Insecure); err != nil {
		return err
	}
	for _, text := range p.MountFrom {
		other, err := name.NewRepository(p.repo.RegistryStr() + "/" + text)
		if err != nil {
			return fmt.Errorf("the repository to mount from, %q: %w: want its name without the registry, such as edge/debian", text, err)
		}
		p.mount = append(p.mount, other)
	}
	return nil
}

// parseTarget reads REGISTRY/NAME[:TAG].
func parseTarget(target string, insecure bool) (repo name.Repository, tag string, err error) {
	text := target
	if at := strings.LastIndexByte(text, ':'); at > strings.LastIndexByte(text, '/') {
		text, tag = text[:at], text[at+1:]
	}
	host, path, _ := strings.Cut(text, "/")
	switch {
	case strings.Contains(target, "://"):
		return repo, "", fmt.Errorf("%q: want REGISTRY/NAME, such as registry.example.org/edge/debian, without a scheme", target)
	case strings.Contains(target, "@"):
		return repo, "", fmt.Errorf("%q: a digest is made from the image; name a tag or nothing", target)
	case path == "" || !strings.ContainsAny(host, ".:") && host != "localhost":
		return repo, "", fmt.Errorf("%q names no registry: want REGISTRY/NAME, such as registry.example.org/edge/debian", target)
	case insecure && !isLoopbackName(host):
		return repo, "", fmt.Errorf("--insecure-registry is for a registry on this machine (localhost, 127.0.0.1, [::1]), and %s is none", host)
	}
	if repo, err = name.NewRepository(text, name.StrictValidation); err != nil {
		return repo, "", fmt.Errorf("%q is no name of a repository: %w", target, err)
	}
	if tag != "" {
		if _, err := name.NewTag(text+":"+tag, name.StrictValidation); err != nil {
			return repo, "", fmt.Errorf("%q: %q is no tag: %w", target, tag, err)
		}
	} else if strings.HasSuffix(target, ":") {
		return repo, "", fmt.Errorf("%q: there is no tag behind the colon", target)
	}
	return repo, tag, nil
}

// Publish publishes one image, or several as one index. Each path is the folder of a
// build, or what source.Open takes.
func (p *Publisher) Publish(ctx context.Context, paths ...string) (*Result, error) {
	items, err := p.openImages(ctx, paths)
	if err != nil {
		return nil, p.interrupted(ctx, err, noTag)
	}
	r, err := p.plan(items)
	if err != nil {
		return nil, err
	}
	return r.result, p.interrupted(ctx, p.explain(ctx, r.publish(ctx)), noTag)
}

// interrupted says what an interruption leaves in the repository.
func (p *Publisher) interrupted(ctx context.Context, err error, left string) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %s has %s; what was uploaded stays there, and the next run goes on from it", ErrInterrupted, p.repo, left)
}

const noTag = "no tag for the image"

// step runs do as a step.
func (p *Publisher) step(name string, do func(progress.Step) (cached bool, err error)) error {
	shown := p.Progress.Step(name)
	cached, err := do(shown)
	if errors.Is(err, context.Canceled) {
		shown.Done(false, progress.ErrInterrupted)
		return err
	}
	shown.Done(cached, err)
	return err
}
