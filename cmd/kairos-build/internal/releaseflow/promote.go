// SPDX-License-Identifier: Apache-2.0

package releaseflow

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/mod/semver"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/framework/source/channel"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// A Promotion lets a channel name an image: it attaches a signed pointer to the image, and
// then moves the tag of the channel.
type Promotion struct {
	Publisher *publish.Publisher // without a tag
	Notary    *notary.Notary
	Channel   string
	Kind      string // of the image, see package channel
	Version   string
	Digest    string // of the image in the repository
	Downgrade bool   // also if the channel has a newer version
	Now       func() time.Time
}

// Do promotes. moved is false if the channel names the image already, with a pointer of this
// signer.
func (p Promotion) Do(ctx context.Context) (c Channel, moved bool, err error) {
	tag := channel.Tag(p.Channel, p.Kind)
	had, err := p.Publisher.Tagged(ctx, tag)
	if err != nil {
		return c, false, err
	}
	before, err := p.newest(ctx, had)
	if err != nil {
		return c, false, err
	}
	c = Channel{Name: p.Channel, Reference: p.Publisher.Target + ":" + tag, Digest: p.Digest, Sequence: before.Sequence}
	if had == p.Digest && before.Sequence > 0 {
		return c, false, nil
	}
	if newer := semver.Compare(before.Version, p.Version) > 0; newer && !p.Downgrade {
		return c, false, badInput(fmt.Errorf("%w: %s names %s (%s), and this is %s: another release was faster, or name it with --downgrade", ErrOlder, c.Reference, before.Version, had, p.Version))
	}
	if had != p.Digest {
		c.Replaced = had
	}
	own, err := p.newest(ctx, p.Digest) // it may have been promoted long ago
	if err != nil {
		return c, false, err
	}
	next := channel.Next(p.Channel, p.Kind, p.Version, max(before.Sequence, own.Sequence), p.Now())
	if err := p.attach(ctx, next); err != nil {
		return c, false, err
	}
	c.Sequence = next.Sequence
	return c, true, p.move(ctx, tag, had)
}

// newest is the newest pointer of this channel at an image; the zero pointer if there is none.
// Only pointers of this signer count: nobody else can drive the sequence up.
func (p Promotion) newest(ctx context.Context, digest string) (newest channel.Pointer, err error) {
	if digest == "" {
		return newest, nil
	}
	hash, err := v1.NewHash(digest)
	if err != nil {
		return newest, err
	}
	list, err := p.Publisher.Attached(ctx, publish.Subject{Digest: hash})
	if err != nil {
		return newest, err
	}
	for _, a := range list {
		for _, layer := range a.Layers {
			if found, ok := p.pointer(hash, layer); ok && found.Sequence > newest.Sequence {
				newest = found
			}
		}
	}
	return newest, nil
}

// pointer reads one document.
func (p Promotion) pointer(digest v1.Hash, c publish.Content) (channel.Pointer, bool) {
	e := verify.Evidence{MediaType: c.MediaType, Annotations: c.Annotations, Data: c.Data}
	says, err := verify.Unverified(e)
	if err != nil || says.PredicateType != channel.PredicateType || !p.Notary.Signer.Attested(digest, channel.PredicateType, says.Predicate, e) {
		return channel.Pointer{}, false
	}
	found, err := channel.Parse(says.Predicate)
	return found, err == nil && found.Channel == p.Channel && found.Kind == p.Kind
}

// attach signs the pointer, and attaches it to the image.
func (p Promotion) attach(ctx context.Context, next channel.Pointer) error {
	all, err := p.Publisher.Find(ctx, p.Digest)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s publish.Subject) bool { return s.Digest.String() == p.Digest })
	predicate, err := next.Encode()
	if err != nil {
		return err
	}
	made, err := p.Notary.Attest(ctx, all[i], channel.PredicateType, predicate, false)
	if err != nil {
		return err
	}
	_, err = p.Publisher.Attach(ctx, all[i], made)
	return err
}

// move moves the tag, unless another release moved it meanwhile.
func (p Promotion) move(ctx context.Context, tag, had string) error {
	now, err := p.Publisher.Tagged(ctx, tag)
	if err != nil {
		return err
	}
	if now != had {
		return fmt.Errorf("%w: it moved the channel %s to %s meanwhile: run this one again if it shall come after that", ErrBusy, p.Channel, now)
	}
	return p.Publisher.Move(ctx, tag, p.Digest)
}
