// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/channel"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// promote lets a channel name an image, with a pointer of a signer.
func (n *disked) promote(p channel.Pointer, image v1.Image, by *testimage.Signer) {
	n.t.Helper()
	n.push(channel.Tag(p.Channel, n.kind()), image)
	about, err := partial.Descriptor(image)
	if err != nil {
		n.t.Fatal(err)
	}
	statement, err := by.Bundle(*about, about.Digest, channel.PredicateType, p)
	if err != nil {
		n.t.Fatal(err)
	}
	digest, err := statement.Digest()
	if err != nil {
		n.t.Fatal(err)
	}
	ref, err := name.NewRepository(n.repository())
	if err == nil {
		err = remote.Write(ref.Digest(digest.String()), statement)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *disked) repository() string { return n.registry.Listener.Addr().String() + "/edge/node" }

func (n *disked) kind() string {
	n.t.Helper()
	image, err := n.image(true)
	if err != nil {
		n.t.Fatal(err)
	}
	return channel.Kind(image)
}

// pointer is the nth pointer of the channel stable.
func (n *disked) pointer(version string, nth int64) channel.Pointer {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC).Add(time.Duration(nth) * time.Hour)
	return channel.Next("stable", n.kind(), version, 0, at)
}

func (n *disked) follow() (Followed, error) {
	return n.Follow(n.t.Context(), "stable", n.repository(), source.Options{})
}

// unfollowed checks that a channel is not followed, and why.
func (n *disked) unfollowed(is error, says string) {
	n.t.Helper()
	if f, err := n.follow(); !errors.Is(err, is) || !strings.Contains(err.Error(), says) {
		n.t.Errorf("got %+v, %v\nwant %s", f, err, says)
	}
}

// TestFollow: a node goes where the channel points, and nowhere back.
func TestFollow(t *testing.T) {
	s := newSigners(t, "k", "stranger")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	older, newer := imageWith(t, "v1.1.0", trusts), imageWith(t, "v1.2.0", trusts)
	n.push("v1.1.0", older, s["k"])
	n.push("v1.2.0", newer, s["k"])

	n.promote(n.pointer("v1.1.0", 1), older, s["stranger"])
	n.unfollowed(policy.ErrUnattested, "no statement "+channel.PredicateType+" of somebody who is trusted")

	n.promote(n.pointer("v1.1.0", 1), older, s["k"])
	f, err := n.follow()
	if err != nil || f.Runs || f.Against != "" || f.Pointer.Version != "v1.1.0" || !strings.Contains(f.By, `key "k"`) {
		t.Fatalf("got %+v, %v", f, err)
	}
	n.upgradeTo("b", upgrade.Options{Source: f.Source})
	if f, err = n.follow(); err != nil || f.Against != "slot b is on trial" {
		t.Errorf("on trial: got %+v, %v", f, err)
	}
	n.boot("b")
	n.settle()
	if f, err = n.follow(); err != nil || !f.Runs {
		t.Errorf("it runs: got %+v, %v", f, err)
	}

	n.promote(n.pointer("v1.2.0", 2), newer, s["k"])
	if f, err = n.follow(); err != nil || f.Pointer.Version != "v1.2.0" {
		t.Fatalf("got %+v, %v", f, err)
	}
	n.push(channel.Tag("stable", n.kind()), older) // the old image still has its statement
	n.unfollowed(ErrOldPointer, "the registry offers an old state of the channel stable: v1.1.0, sequence ")
	n.promote(n.pointer("v1.1.0", 3), older, s["k"]) // on purpose
	if f, err = n.follow(); err != nil || f.Pointer.Version != "v1.1.0" || !f.Runs {
		t.Errorf("back: got %+v, %v", f, err)
	}
}

// TestFollowForeign: a statement about another channel or another kind of image does not
// count, nor one about another image.
func TestFollowForeign(t *testing.T) {
	s := newSigners(t, "k")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	image := imageWith(t, "v1.1.0", trusts)
	n.push("v1.1.0", image, s["k"])
	edge := n.pointer("v1.1.0", 1)
	edge.Channel = "edge"
	n.promote(edge, image, s["k"])
	n.push(channel.Tag("stable", n.kind()), image)
	n.unfollowed(policy.ErrUnattested, "its signed statements are about other channels")

	other := n.pointer("v1.1.0", 1)
	other.Kind = "12-core-amd64-generic"
	n.promote(other, image, s["k"])
	n.unfollowed(policy.ErrUnattested, "or other kinds of images than "+n.kind())

	if _, err := n.Follow(t.Context(), "Stable!", n.repository(), source.Options{}); !errors.Is(err, channel.ErrForm) {
		t.Errorf("got %v", err)
	}
	if _, err := n.Follow(t.Context(), "beta", n.repository(), source.Options{}); err == nil || !strings.Contains(err.Error(), "channel beta: ") {
		t.Errorf("got %v", err)
	}
}

// TestFollowAfterAFailedTrial: an image that did not prove itself is not tried again, until the
// channel names another one.
func TestFollowAfterAFailedTrial(t *testing.T) {
	s := newSigners(t, "k")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	image := imageWith(t, "v1.1.0", trusts)
	n.push("v1.1.0", image, s["k"])
	n.promote(n.pointer("v1.1.0", 1), image, s["k"])
	f, err := n.follow()
	if err != nil {
		t.Fatal(err)
	}
	n.upgradeTo("b", upgrade.Options{Source: f.Source})
	n.probe = errors.New("down")
	for range 3 {
		n.boot("b")
		synctest.Test(t, func(t *testing.T) { // time flies: a check is repeated for minutes
			if err := n.Settle(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	n.probe = nil
	n.boot("a")
	n.settle()
	if f, err = n.follow(); err != nil || f.Against != "slot b has it and did not pass its trial: it waits for another image" {
		t.Errorf("got %+v, %v", f, err)
	}
	next := imageWith(t, "v1.2.0", trusts)
	n.push("v1.2.0", next, s["k"])
	n.promote(n.pointer("v1.2.0", 2), next, s["k"])
	if f, err = n.follow(); err != nil || f.Against != "" {
		t.Errorf("the next image: got %+v, %v", f, err)
	}
}

// upgradesItself writes what is due, as a node does without a person.
func (n *disked) upgradesItself(d Due, to layout.Slot) {
	n.t.Helper()
	if err := n.Await(d.Digest); err != nil {
		n.t.Fatal(err)
	}
	n.upgradeTo(to, upgrade.Options{Source: d.Source})
}

// TestDue is the life of a node that upgrades itself at night: what it does by day, in the
// window, and after an upgrade that took longer than the window.
func TestDue(t *testing.T) {
	s := newSigners(t, "k")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	night := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	day := night.Add(6 * time.Hour)
	due := func(at time.Time) Due {
		t.Helper()
		d, err := n.Due(t.Context(), at, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	expect := func(at time.Time, not string, runs, restart bool) Due {
		t.Helper()
		d := due(at)
		if d.Not != not || d.Runs != runs || d.Restart != restart {
			t.Errorf("%s: got %q, runs %v, restart %v, want %q, %v, %v", at.Format(time.Kitchen), d.Not, d.Runs, d.Restart, not, runs, restart)
		}
		return d
	}
	offer := func(version string, nth int64) {
		t.Helper()
		image := imageWith(t, version, trusts)
		n.push(version, image, s["k"])
		n.promote(n.pointer(version, nth), image, s["k"])
	}
	expect(night, "the config names no channel", false, false)
	put(t, n.Root.Dir, "/oem/90-x.yaml", fmt.Sprintf("#cloud-config\nupgrade: {channel: stable, window: 02:00-05:00, repository: %q}\n", n.repository()))
	offer("v1.1.0", 1)
	expect(day, "it is Mon 09:00, and the window is 02:00-05:00", false, false)
	if !n.MayRestart(night) || n.MayRestart(day) {
		t.Error("it may restart by day, or not at night")
	}
	d := expect(night, "", false, false)
	n.upgradeTo("b", upgrade.Options{Source: d.Source})
	expect(night, "slot b is on trial", false, false) // a person has written it
	n.upgradesItself(d, "b")
	expect(day, "it is Mon 09:00, and the window is 02:00-05:00", false, false)
	expect(night, "", false, true)

	offer("v1.2.0", 2) // while v1.1.0 waits
	n.upgradesItself(expect(night, "", false, false), "b")
	expect(night, "", false, true)
	n.boot("b")
	expect(night, "slot b is on trial", false, false)
	n.settle()
	expect(night, "", true, false)
}

// TestWithdrawn: a channel that goes back while its image waits for the window takes it back. The
// image was never booted, so it is written again when the channel names it again.
func TestWithdrawn(t *testing.T) {
	s := newSigners(t, "k")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	put(t, n.Root.Dir, "/oem/90-x.yaml", fmt.Sprintf("#cloud-config\nupgrade: {channel: stable, repository: %q}\n", n.repository()))
	images := map[string]v1.Image{"v1.1.0": imageWith(t, "v1.1.0", trusts), "v1.2.0": imageWith(t, "v1.2.0", trusts)}
	next := func(version string, nth int64) Due {
		t.Helper()
		n.push(version, images[version], s["k"])
		n.promote(n.pointer(version, nth), images[version], s["k"])
		d, err := n.Due(t.Context(), time.Now(), source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	n.upgradesItself(next("v1.1.0", 1), "b")
	n.boot("b")
	n.settle()
	n.upgradesItself(next("v1.2.0", 2), "a")
	if _, err := n.Select(layout.ModePassive); err != nil { // somebody's wish, which would boot what is withdrawn
		t.Fatal(err)
	}
	d := next("v1.1.0", 3)
	if !d.Runs || !d.Withdraw {
		t.Fatalf("back: got %+v", d)
	}
	if err := n.Withdraw(); err != nil {
		t.Fatal(err)
	}
	if d = next("v1.1.0", 3); !d.Runs || d.Withdraw {
		t.Errorf("withdrawn: got %+v", d)
	}
	if _, state, err := n.Slots(); err != nil || state.Good != "b" || state.Try != "" || state.Bad != "a" || state.Next != "" {
		t.Errorf("withdrawn: the slots are %+v, %v", state, err)
	}
	if d = next("v1.2.0", 4); d.Not != "" || d.Runs || d.Restart {
		t.Errorf("again: got %+v", d)
	}
	n.upgradesItself(d, "a")
	if _, _, err := n.Rollback(RollbackOptions{Tries: 1}); err != nil { // a person's, who is not overruled
		t.Fatal(err)
	}
	if d = next("v1.2.0", 4); d.Not == "" {
		t.Errorf("rolled back by a person: got %+v", d)
	}
}

// TestWaits: only the image that this node wrote by itself waits for the window.
func TestWaits(t *testing.T) {
	for _, tt := range []struct {
		name    string
		slot    status.SlotInfo
		waiting string
		want    bool
	}{
		{"it waits", status.SlotInfo{Digest: "sha256:1"}, "sha256:1", true},
		{"it runs", status.SlotInfo{Digest: "sha256:1", Booted: true}, "sha256:1", false},
		{"another one waits", status.SlotInfo{Digest: "sha256:2"}, "sha256:1", false},
		{"nothing waits", status.SlotInfo{Digest: "sha256:1"}, "", false},
		{"a label without a digest", status.SlotInfo{}, "", false},
	} {
		if got := waits(tt.slot, tt.waiting); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

// TestChannelStatus: the status says what the node follows, and the timer has its mark.
func TestChannelStatus(t *testing.T) {
	s := newSigners(t, "k")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	if got := n.Status(t.Context()).Channel; got != nil {
		t.Errorf("without a key: %+v", got)
	}
	put(t, n.Root.Dir, "/oem/90-x.yaml", fmt.Sprintf("#cloud-config\nupgrade: {channel: stable, window: 02:00-05:00, repository: %q}\n", n.repository()))
	image := imageWith(t, "v1.1.0", trusts)
	n.push("v1.1.0", image, s["k"])
	n.promote(n.pointer("v1.1.0", 1), image, s["k"])
	if _, err := n.follow(); err != nil {
		t.Fatal(err)
	}
	got := n.Status(t.Context()).Channel
	if got == nil || got.Name != "stable" || got.Window != "02:00-05:00" || got.Version != "v1.1.0" || got.Time.Hour() != 13 {
		t.Errorf("got %+v", got)
	}
	u := n.OwnUpgrades()
	if err := n.markChannel(u); err != nil || !n.Root.Exists(channelMark) {
		t.Errorf("no mark: %v", err)
	}
	u.Channel = ""
	if err := n.markChannel(u); err != nil || n.Root.Exists(channelMark) {
		t.Errorf("a mark without a channel: %v", err)
	}
}
