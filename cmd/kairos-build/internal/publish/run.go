// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// atOnce is how many blobs are uploaded at the same time.
const atOnce = 3

// A run publishes some images.
type run struct {
	*Publisher
	items  []item
	root   Subject // what the tag names
	all    []storedSubject
	result *Result
	mu     sync.Mutex // of result
}

// A storedSubject is a subject and its manifest.
type storedSubject struct {
	Subject
	manifest manifest
}

// plan finds the subjects and the tag. It asks nothing of the registry.
func (p *Publisher) plan(items []item) (*run, error) {
	r := &run{Publisher: p, items: items, result: &Result{Format: FormatVersion, Repository: p.repo.String(), Attached: []Attached{}}}
	for _, i := range items {
		r.add(i.manifest, i.labels, &i)
		r.result.Images = append(r.result.Images, Image{Path: i.path, Platform: i.platform.String(), Digest: i.manifest.digest().String()})
	}
	if len(items) > 1 {
		index, err := indexOf(items)
		if err != nil {
			return nil, err
		}
		r.add(index, common(items), nil)
	}
	tag, err := r.chooseTag()
	if err != nil {
		return nil, err
	}
	root := &r.all[len(r.all)-1]
	root.Tag = tag
	r.root = root.Subject
	r.result.Tag, r.result.Digest, r.result.MediaType = tag, root.Digest.String(), root.MediaType
	r.result.Reference = p.repo.String() + ":" + tag
	return r, nil
}

// add adds a subject: an image, or an index (i is nil).
func (r *run) add(m manifest, annotations map[string]string, i *item) {
	s := Subject{Repository: r.repo.String(), Digest: m.digest(), Size: int64(len(m.data)), MediaType: string(m.media), Annotations: annotations}
	if i != nil {
		s.Path, s.Image = i.path, i.image
	}
	r.all = append(r.all, storedSubject{s, m})
}

// chooseTag is the user's tag, or the name of the only image.
func (r *run) chooseTag() (string, error) {
	switch {
	case r.tag != "":
		return r.tag, nil
	case len(r.items) > 1:
		return "", badInput(fmt.Errorf("the name of an image has its architecture, so an index of several has none: name a tag: %s:TAG", r.repo))
	}
	return r.items[0].tagFor(r.repo)
}

// publish does all steps in their order.
func (r *run) publish(ctx context.Context) error {
	if err := r.checkSigned(ctx); err != nil {
		return err
	}
	if _, err := r.checkTag(ctx); err != nil {
		return err
	}
	if err := r.sendBlobs(ctx); err != nil {
		return err
	}
	for _, s := range r.all {
		if err := r.sendSubject(ctx, s); err != nil {
			return err
		}
	}
	return r.setTag(ctx)
}

// checkTag finds out whether the tag is free. taken tells whether it names the image
// already.
func (r *run) checkTag(ctx context.Context) (taken bool, err error) {
	old, err := r.tagged(ctx, r.root.Tag)
	switch {
	case err != nil || old == nil:
		return false, err
	case *old == r.root.Digest:
		return true, nil
	case r.MoveTag:
		r.result.Replaced = old.String()
		return false, nil
	}
	return false, fmt.Errorf("%w: %s names another image, %s, and this one is %s: give this image another version (--version) or tag, or let the tag name this one with --move-tag",
		ErrTaken, r.result.Reference, old, r.root.Digest)
}

// sendBlobs delivers the blobs of all images, several at once.
func (r *run) sendBlobs(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	seen := map[v1.Hash]bool{}
	for _, i := range r.items {
		from := r.sources(i)
		for n, b := range i.blobs {
			if seen[b.digest] {
				continue
			}
			seen[b.digest] = true
			name := fmt.Sprintf("blob %d of %d %s %.12s", n+1, len(i.blobs), i.platform.Architecture, b.digest.Hex)
			group.Go(func() error { return r.sendBlob(ctx, name, b, from) })
		}
	}
	return group.Wait()
}

// sources are the repositories of the registry that may have the blobs of an image.
func (r *run) sources(i item) (from []string) {
	if i.from != "" {
		from = append(from, i.from)
	}
	for _, other := range r.mount {
		if !slices.Contains(from, other.RepositoryStr()) {
			from = append(from, other.RepositoryStr())
		}
	}
	return from
}

func (r *run) sendBlob(ctx context.Context, name string, b blob, from []string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.step(name, func(s progress.Step) (bool, error) {
		s.Progress(0, b.size)
		how, err := r.deliver(ctx, b, from, func(done int64) { s.Progress(done, b.size) })
		if err != nil {
			return false, fmt.Errorf("uploading blob %s: %w", b.digest, err)
		}
		r.count(how, b.size)
		return how != sent, nil
	})
}

// count adds a blob to the result.
func (r *run) count(how delivery, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*map[delivery]*int64{present: &r.result.Bytes.Present, mounted: &r.result.Bytes.Mounted, sent: &r.result.Bytes.Sent}[how] += size
}

// sendSubject attaches evidence and signatures to a digest, and then stores its manifest.
func (r *run) sendSubject(ctx context.Context, s storedSubject) error {
	if err := r.sendAttachments(ctx, s.Subject); err != nil {
		return err
	}
	return r.step(kindOf(s.Subject)+" "+short(s.Digest), func(progress.Step) (bool, error) {
		stored, err := r.putMissing(ctx, s.manifest)
		return !stored, err
	})
}

func short(digest v1.Hash) string { return digest.Hex[:12] }

// sendAttachments attaches what the registry lacks about a subject.
func (r *run) sendAttachments(ctx context.Context, s Subject) error {
	carried, err := r.sendCarried(ctx, s)
	if err != nil || r.Evidence == nil && r.Signer == nil {
		return err
	}
	attached, err := r.attached(ctx, s.Digest)
	if err != nil {
		return err
	}
	attached = append(attached, carried...)
	if err := r.sendEvidence(ctx, s, attached); err != nil {
		return err
	}
	return r.sendSignature(ctx, s, attached)
}

func (r *run) sendEvidence(ctx context.Context, s Subject, attached []Attachment) error {
	if r.Evidence == nil {
		return nil
	}
	return r.step(fmt.Sprintf("evidence of %s %s", kindOf(s), short(s.Digest)), func(step progress.Step) (bool, error) {
		list, err := r.Evidence.Evidence(ctx, s, attached)
		if err != nil {
			return false, local(err)
		}
		return r.send(ctx, s, list, step)
	})
}

// sendSignature signs a subject, unless the registry has a signature that suffices.
func (r *run) sendSignature(ctx context.Context, s Subject, attached []Attachment) error {
	if r.Signer == nil {
		return nil
	}
	return r.step(fmt.Sprintf("signature of %s %s", kindOf(s), short(s.Digest)), func(step progress.Step) (bool, error) {
		if r.Signer.Signed(s, attached) {
			r.result.Signed = true
			return true, nil
		}
		list, err := r.Signer.Sign(ctx, s)
		if err != nil {
			return false, local(err)
		}
		if len(list) == 0 {
			return false, fmt.Errorf("BUG: no signature of %s was made", s.Digest)
		}
		r.result.Signed = true
		return r.send(ctx, s, list, step)
	})
}

// send attaches a list, and tells whether all of it was there.
func (r *run) send(ctx context.Context, s Subject, list []Attachment, step progress.Step) (bool, error) {
	total := size(list)
	step.Progress(0, total)
	all, err := r.attach(ctx, s, list, func(done int64) { step.Progress(done, total) })
	r.result.Attached = append(r.result.Attached, all...)
	return len(added(all)) == 0, err
}

// size is the size of all content, in bytes.
func size(list []Attachment) (total int64) {
	for _, a := range list {
		for _, c := range a.Layers {
			total += int64(len(c.Data))
		}
	}
	return total
}

// setTag lets the tag name the image. It looks at the tag again, because another program
// may have written it meanwhile. Once it writes, it does not stop half-way.
func (r *run) setTag(ctx context.Context) error {
	return r.step("tag "+r.root.Tag, func(progress.Step) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		taken, err := r.checkTag(ctx)
		if err != nil || taken {
			return taken, err
		}
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.StallTimeout)
		defer cancel()
		_, err = r.put(writing, r.all[len(r.all)-1].manifest, r.root.Tag)
		return false, err
	})
}
