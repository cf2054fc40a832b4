// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/node/trust"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/channel"
	"github.com/kairos-build/kairos-build/framework/source/policy"
)

// ErrOldPointer says that the registry offers a pointer of a channel that is older than one
// that this node has seen.
var ErrOldPointer = errors.New("the registry offers an old state of the channel")

// A Followed is the image that a channel names for this node.
type Followed struct {
	Channel string          // as in the tag: REGISTRY/NAME:TAG
	Source  string          // for Upgrade: oci:REGISTRY/NAME@DIGEST
	Digest  string          // of the image for this architecture
	Pointer channel.Pointer // the signed statement
	By      string          // who signed it
	Runs    bool            // the image runs already
	// Against says why a node that upgrades itself leaves the image; empty: nothing does.
	Against string
}

// Follow finds the image that a channel names for this node. The default of repository is where
// the image of the booted slot came from. A pointer that is not signed by somebody whom the
// policy trusts, or is older than one that was seen, is refused.
func (n *Node) Follow(ctx context.Context, name, repository string, o source.Options) (f Followed, err error) {
	if err := channel.CheckName(name); err != nil {
		return f, err
	}
	image, err := n.image(true)
	if err != nil {
		return f, err
	}
	if repository == "" {
		if repository, err = n.bootedSource(); err != nil {
			return f, err
		}
	}
	n.configNow() // for the proxy
	kind := channel.Kind(image)
	repository = strings.TrimPrefix(repositoryOf(repository), "oci:")
	f.Channel = repository + ":" + channel.Tag(name, kind)
	o.Arch = cmp.Or(o.Arch, image.Arch)
	found, err := source.Resolve(ctx, "oci:"+f.Channel, o)
	if err != nil {
		return f, fmt.Errorf("channel %s: %w", name, err)
	}
	p, err := n.Policy()
	if p == nil && err != nil {
		return f, fmt.Errorf("%w: %w", policy.ErrNone, err)
	}
	said, err := policy.Judge{Policy: p, Now: time.Now, Built: n.built()}.Statements(ctx, found, channel.PredicateType)
	if err != nil {
		return f, fmt.Errorf("channel %s: %s: %w", name, found.Chain[0], err)
	}
	if f.Pointer, f.By, err = newest(said, name, kind); err != nil {
		return f, fmt.Errorf("channel %s: %s: %w", name, found.Chain[0], err)
	}
	f.Source, f.Digest = "oci:"+repository+"@"+found.Chain[0].String(), found.Chain[len(found.Chain)-1].String()
	return f, errors.Join(n.see(f, found.Chain[0].String()), n.judgeSlots(&f))
}

// newest is the newest pointer of a channel for a kind of image.
func newest(said []policy.Said, name, kind string) (p channel.Pointer, by string, err error) {
	var against []error
	for _, s := range said {
		found, err := channel.Parse(s.Predicate)
		switch {
		case err != nil:
			against = append(against, err)
		case found.Channel == name && found.Kind == kind && found.Sequence > p.Sequence:
			p, by = found, s.By
		}
	}
	if p.Sequence == 0 {
		return p, "", errors.Join(append([]error{fmt.Errorf("%w: its signed statements are about other channels, or other kinds of images than %s: the tag was moved by hand", policy.ErrUnattested, kind)}, against...)...)
	}
	return p, by, nil
}

// see refuses a pointer that is older than the newest one that was seen, and remembers it.
func (n *Node) see(f Followed, digest string) error {
	record, err := n.trustRecord()
	if err != nil {
		return err
	}
	had := record.Channels[f.Channel]
	if p := f.Pointer; p.Sequence < had.Sequence || p.Sequence == had.Sequence && digest != had.Digest {
		return fmt.Errorf("%w %s: %s, sequence %d of %s; this node has seen %s, sequence %d of %s: a mirror that lags behind, or somebody who wants an old image to run; --source oci:REF installs an image by its name",
			ErrOldPointer, p.Channel, p.Version, p.Sequence, p.Time.UTC().Format(time.DateTime), had.Version, had.Sequence, had.Time.UTC().Format(time.DateTime))
	}
	return n.updateTrust(func(r *trust.Record) bool {
		return r.See(f.Channel, trust.Seen{Sequence: f.Pointer.Sequence, Digest: digest, Version: f.Pointer.Version, Time: f.Pointer.Time})
	})
}

// judgeSlots finds out whether the image runs, and what speaks against trying it unattended.
func (n *Node) judgeSlots(f *Followed) error {
	slots, _, err := n.Slots()
	if err != nil {
		return err
	}
	for _, s := range slots {
		switch {
		case s.Digest == f.Digest && s.Booted:
			f.Runs = true
		case s.Digest == f.Digest && s.Condition == slot.Bad && s.Slot != layout.SlotRecovery:
			f.Against = fmt.Sprintf("slot %s has it and did not pass its trial: it waits for another image", s.Slot)
		case s.Condition == slot.Trying:
			f.Against = fmt.Sprintf("slot %s is on trial", s.Slot)
		}
	}
	return nil
}

// addChannel adds the channel that the node follows to its status.
func (n *Node) addChannel(s *status.Status) {
	u := n.OwnUpgrades()
	if u.Channel == "" {
		return
	}
	c := &status.Channel{Name: u.Channel, Window: u.Window.String(), Repository: u.Repository}
	if record, err := n.trustRecord(); err == nil {
		for name, seen := range record.Channels {
			_, tag, _ := strings.Cut(name[strings.LastIndexByte(name, '/')+1:], ":")
			if strings.HasPrefix(tag, u.Channel+"-") && seen.Time.After(c.Time) {
				c.Reference, c.Version, c.Time = name, seen.Version, seen.Time
			}
		}
	}
	s.Channel = c
}
