// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/node/trust"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// The last correct policy of a good slot, and the trusted root of it.
const (
	keptPolicy = layout.NotesDir + "/policy.yaml"
	keptRoot   = layout.NotesDir + "/trusted-root.json"
)

// maxPolicyFile, in bytes, is the largest policy, key or trusted root.
const maxPolicyFile = 1 << 20

// Policy returns the policy that counts; nil if there is none. If that of the system has a
// mistake, the last correct one counts, and the error says so.
func (n *Node) Policy() (*policy.Policy, error) {
	p, err := n.readPolicy(layout.ImagePolicy)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	kept, keptErr := n.readPolicy(keptPolicy)
	if keptErr != nil {
		return nil, fmt.Errorf("%w\nthere is no policy of before, so no image is trusted; correct the file, and see `kairos-agent policy check`", err)
	}
	return kept, fmt.Errorf("%w\nthe policy of before counts; correct the file, and see `kairos-agent policy check`", err)
}

// CheckPolicy reads a policy as this node would, and returns every mistake.
func (n *Node) CheckPolicy(name string, data []byte) (*policy.Policy, error) {
	return policy.Parse(name, data, n.readSmall)
}

func (n *Node) readPolicy(path string) (*policy.Policy, error) {
	data, err := n.readSmall(path)
	if err != nil {
		return nil, err
	}
	return n.CheckPolicy(path, data)
}

// readSmall reads a file of the policy.
func (n *Node) readSmall(path string) ([]byte, error) {
	info, err := n.Root.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPolicyFile {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, maxPolicyFile)
	}
	return n.Root.Read(path)
}

// keepTrust remembers the policy and the version of a slot that is good.
func (b *thisBoot) keepTrust() {
	if b.state.Condition(b.boot.Slot) != slot.Good {
		return
	}
	b.warn("remembering the policy", within(proveTime, "remembering the policy", b.keepPolicy))
	b.warn("remembering the version", within(proveTime, "remembering the version", b.raiseFloor))
	b.warn("forgetting an image that was not verified", within(proveTime, "reading the slots", b.forgetUnverified))
}

func (n *Node) raiseFloor() error {
	release := status.Release(n.Root)
	return n.updateTrust(func(r *trust.Record) bool { return r.Raise(release) })
}

// keepPolicy keeps a correct policy beside the node's other records, with all its keys.
func (n *Node) keepPolicy() error {
	p, err := n.readPolicy(layout.ImagePolicy)
	if p == nil || err != nil { // none, or one with a mistake: status tells
		return nil
	}
	data, err := p.Encode(keptRoot)
	if err != nil {
		return err
	}
	return errors.Join(n.keepFile(keptRoot, p.Root), n.keepFile(keptPolicy, data))
}

// keepFile writes a file if it differs.
func (n *Node) keepFile(path string, data []byte) error {
	if have, err := n.readSmall(path); err == nil && bytes.Equal(have, data) || len(data) == 0 {
		return nil
	}
	name, err := n.Root.Fixed(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return durable.Write(name, data, 0o644)
}

// trusting adds to an installation whom the node trusts, and its floor.
func (n *Node) trusting(to *upgrade.Installation) []string {
	var warnings []string
	p, err := n.Policy()
	if err != nil {
		warnings = append(warnings, fmt.Sprintf("the policy about images has a mistake:\n%v", err))
	}
	to.Verifier = judge{policy.Judge{Policy: p, Now: time.Now, Built: n.built()}, err}
	record, err := n.trustRecord()
	if err != nil {
		warnings = append(warnings, fmt.Sprintf("%v; the version that runs counts", err))
	}
	to.Floor = maps.Clone(record.Floor)
	return warnings
}

// A judge says what is wrong with the policy when an image is refused by it.
type judge struct {
	policy.Judge
	mistake error
}

// Verify implements upgrade.Verifier.
func (j judge) Verify(ctx context.Context, image *source.Image) ([]string, error) {
	if j.Policy == nil && j.mistake != nil {
		return nil, fmt.Errorf("%w: %w", policy.ErrNone, j.mistake)
	}
	return j.Judge.Verify(ctx, image)
}

// built returns when the image that runs was made: the time of a file in it.
func (n *Node) built() time.Time {
	info, err := n.Root.Stat(layout.ImageRelease)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (n *Node) trustRecord() (trust.Record, error) {
	dir, err := n.Root.Fixed(trust.Dir)
	if err != nil {
		return trust.Record{}, err
	}
	return trust.Read(dir)
}

// rememberTrust notes an image that nobody vouches for. A verified image that takes its
// place in the same slot ends the note; in the other slot it does when it is good: until
// then the node may go back.
func (n *Node) rememberTrust(o upgrade.Options, r upgrade.Result, err error) error {
	if err != nil {
		return nil // the slot is bad, and as before if nothing was written
	}
	return n.updateTrust(func(record *trust.Record) bool {
		had := record.Unverified
		switch {
		case !r.Verified:
			record.Unverified = &trust.Unverified{Slot: r.Slot, Source: o.Source, Digest: r.Digest, Version: r.Version, Time: time.Now().UTC().Truncate(time.Second)}
		case had != nil && had.Slot == r.Slot:
			record.Unverified = nil
		}
		return record.Unverified != had
	})
}

// forgetUnverified ends the note about an image whose slot does not count any more.
func (n *Node) forgetUnverified() error {
	record, err := n.trustRecord()
	if err != nil || record.Unverified == nil {
		return err
	}
	slots, _, err := n.Slots()
	if err != nil || len(slots) == 0 {
		return err
	}
	if len(unverified(slots, record.Unverified)) > 0 {
		return nil
	}
	return n.updateTrust(func(r *trust.Record) bool { r.Unverified = nil; return true })
}

func (n *Node) updateTrust(change func(*trust.Record) bool) error {
	dir, err := n.Root.Fixed(trust.Dir)
	if err != nil {
		return err
	}
	return trust.Update(dir, change)
}

// unverified returns the images that nobody vouches for. The labels of the slots tell; only
// root can read them. The note on COS_OEM has the time, and counts alone if the labels are
// not known.
func unverified(slots []status.SlotInfo, noted *trust.Unverified) (all []trust.Unverified) {
	for _, i := range status.NotVerified(slots) {
		u := trust.Unverified{Slot: i.Slot, Source: i.Image, Digest: i.Digest, Version: i.Version}
		if noted != nil && noted.Slot == i.Slot && noted.Digest == i.Digest {
			u = *noted
		}
		all = append(all, u)
	}
	if noted == nil {
		return all
	}
	readable := slices.ContainsFunc(slots, func(i status.SlotInfo) bool { return i.Slot == noted.Slot && i.Digest != "" })
	if !readable {
		all = append(all, *noted)
	}
	return all
}

// addTrust adds whom the node trusts to its status.
func (n *Node) addTrust(s *status.Status) {
	addConfigImages(s)
	p, err := n.Policy()
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	record, err := n.trustRecord()
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	t := &status.Trust{Floor: record.Floor["KAIROS_VERSION"], Unverified: unverified(s.Slots, record.Unverified)}
	for _, i := range s.Slots {
		if i.Booted {
			t.Image = i.Trust
		}
	}
	if p == nil && t.Floor == "" && t.Unverified == nil && t.Image == "" {
		return
	}
	if p != nil {
		t.Keys, t.Identities = len(p.Keys), len(p.Identities)
	}
	s.Trust = t
	for _, u := range t.Unverified {
		s.Problems = append(s.Problems, u.String())
	}
}
