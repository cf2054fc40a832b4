// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"bytes"
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/source"
)

// Find returns what a tag or a digest of the repository names: an image, or the images of
// an index and then the index. The subjects have no Path and no Image.
func (p *Publisher) Find(ctx context.Context, name string) ([]Subject, error) {
	m, err := p.read(ctx, name)
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	if m == nil {
		return nil, badInput(fmt.Errorf("%s has no image %s", p.repo, name))
	}
	root := Subject{Repository: p.repo.String(), Digest: m.digest(), Size: int64(len(m.data)), MediaType: string(m.media)}
	if !m.media.IsIndex() {
		return []Subject{root}, nil
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(m.data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: reading index %s: %w", p.repo, source.ErrNotImage, root.Digest, err)
	}
	root.Annotations = index.Annotations
	return append(imagesOf(root.Repository, index), root), nil
}

// imagesOf are the images that an index lists.
func imagesOf(repository string, index *v1.IndexManifest) (all []Subject) {
	for _, d := range index.Manifests {
		if d.MediaType.IsImage() {
			all = append(all, Subject{Repository: repository, Digest: d.Digest, Size: d.Size, MediaType: string(d.MediaType)})
		}
	}
	return all
}

// Attach attaches something to a subject that is published already, or will be.
func (p *Publisher) Attach(ctx context.Context, s Subject, list []Attachment) (all []Attached, err error) {
	err = p.step(fmt.Sprintf("attach to %s %s", kindOf(s), short(s.Digest)), func(step progress.Step) (bool, error) {
		total := size(list)
		all, err = p.attach(ctx, s, list, func(done int64) { step.Progress(done, total) })
		return len(added(all)) == 0, err
	})
	return all, p.interrupted(ctx, p.explain(ctx, err), "a part of what is attached")
}

// Attached reads what the registry has about a subject: its referrers, and the signatures
// of cosign before version 3. Contents of more than 4 MiB have no Data.
func (p *Publisher) Attached(ctx context.Context, s Subject) ([]Attachment, error) {
	all, err := p.attached(ctx, s.Digest)
	return all, p.explain(ctx, err)
}

// kindOf names a subject for people.
func kindOf(s Subject) string {
	if types.MediaType(s.MediaType).IsIndex() {
		return "index"
	}
	return "image"
}

// added are the attachments that were not there before.
func added(all []Attached) (list []Attached) {
	for _, a := range all {
		if !a.Present {
			list = append(list, a)
		}
	}
	return list
}
