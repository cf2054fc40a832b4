// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// errUnsigned says what to do about an image that nothing signs.
var errUnsigned = errors.New("nodes refuse an image without a signature, and nothing signs this one: sign it with --sign KEY (`kairos-build key FILE` makes one), or publish it all the same with --unsigned")

// An origin reads what is attached to an image where it comes from.
type origin func(ctx context.Context, s Subject) ([]Attachment, error)

// originOf opens the place of an image, as the user named it; nil if nothing can be attached
// to an image there.
func (p *Publisher) originOf(ctx context.Context, path string) (origin, error) {
	path = inBuild(path)
	scheme, rest, prefixed := strings.Cut(path, ":")
	if prefixed && slices.Contains([]string{"dir", "ocifile", "file"}, scheme) {
		path = rest
	}
	if _, err := os.Stat(path); err == nil {
		return originOnDisk(path)
	}
	return p.originInRegistry(ctx, strings.TrimPrefix(path, "oci:"))
}

func originOnDisk(path string) (origin, error) {
	l, _, err := OpenLayout(path)
	if errors.Is(err, fs.ErrNotExist) { // an archive of docker has no index.json
		return nil, nil
	}
	return func(_ context.Context, s Subject) ([]Attachment, error) { return l.Attached(s) }, err
}

func (p *Publisher) originInRegistry(ctx context.Context, text string) (origin, error) {
	ref, err := name.ParseReference(text)
	if err != nil {
		return nil, badInput(err)
	}
	repo, o := ref.Context(), p.Options
	o.Insecure = repo.Scheme() == "http" // of a registry on this machine
	r, err := signIn(ctx, o, repo, repo.Scope(transport.PullScope))
	return func(ctx context.Context, s Subject) ([]Attachment, error) { return r.attached(ctx, s.Digest) }, err
}

// carried reads what an image brings along.
func (r *run) carried(ctx context.Context, s Subject) ([]Attachment, error) {
	if !r.Carry || s.Path == "" {
		return nil, nil
	}
	open, err := r.originOf(ctx, s.Path)
	if open == nil || err != nil {
		return nil, err
	}
	all, err := open(ctx, s)
	return slices.DeleteFunc(all, func(a Attachment) bool { return !r.readable(s, a) }), err
}

func (r *run) readable(s Subject, a Attachment) bool {
	if len(a.Layers) == 0 || slices.ContainsFunc(a.Layers, func(c Content) bool { return c.Data == nil }) {
		r.Log.Warn("not taken along: it is empty, damaged, or larger than 4 MiB", "attachment", a.ArtifactType, "of", s.Path)
		return false
	}
	return true
}

// checkSigned refuses images that nobody signs here, and that bring no signature.
func (r *run) checkSigned(ctx context.Context) error {
	if r.Signer != nil || r.Unsigned {
		return nil
	}
	list, err := r.carried(ctx, r.root)
	if err == nil && !r.anySignature(list) {
		err = badInput(errUnsigned)
	}
	return err
}

func (r *run) anySignature(list []Attachment) bool {
	return r.IsSignature != nil && slices.ContainsFunc(list, r.IsSignature)
}

// sendCarried attaches what an image brings along, and returns it.
func (r *run) sendCarried(ctx context.Context, s Subject) (list []Attachment, err error) {
	if list, err = r.carried(ctx, s); err != nil || len(list) == 0 {
		return nil, err
	}
	if s.Digest == r.root.Digest && r.anySignature(list) {
		r.result.Signed = true
	}
	return list, r.step(fmt.Sprintf("what %s brings along", s.Path), func(step progress.Step) (bool, error) {
		return r.send(ctx, s, list, step)
	})
}
