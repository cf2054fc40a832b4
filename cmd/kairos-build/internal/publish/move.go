// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"fmt"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// Planned tells where the image in a folder will be published, and with which labels, before
// anything is sent. An error that wraps ErrTaken says that the tag names another image.
func (p *Publisher) Planned(ctx context.Context, path string) (*Result, map[string]string, error) {
	items, err := p.openImages(ctx, []string{path})
	if err != nil {
		return nil, nil, err
	}
	r, err := p.plan(items)
	if err != nil {
		return nil, nil, err
	}
	_, err = r.checkTag(ctx)
	return r.result, items[0].labels, p.explain(ctx, err)
}

// Tagged returns the digest of what a tag of the repository names; empty: the tag is free.
func (p *Publisher) Tagged(ctx context.Context, tag string) (string, error) {
	digest, err := p.tagged(ctx, tag)
	if digest == nil || err != nil {
		return "", p.explain(ctx, err)
	}
	return digest.String(), nil
}

// Move lets a tag name what a digest of the repository is, whatever it named before. Once it
// writes, it does not stop half-way.
func (p *Publisher) Move(ctx context.Context, tag, digest string) error {
	return p.step("tag "+tag, func(progress.Step) (bool, error) {
		m, err := p.read(ctx, digest)
		if err == nil && m == nil {
			err = badInput(fmt.Errorf("%s has no image %s", p.repo, digest))
		}
		if err != nil {
			return false, p.explain(ctx, err)
		}
		if had, err := p.tagged(ctx, tag); err != nil || had != nil && had.String() == digest {
			return err == nil, p.explain(ctx, err)
		}
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.StallTimeout)
		defer cancel()
		_, err = p.put(writing, *m, tag)
		return false, p.explain(ctx, err)
	})
}
