// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// signers are the owners of keys, by name.
type signers map[string]*testimage.Signer

func newSigners(t *testing.T, names ...string) signers {
	t.Helper()
	all := signers{}
	for _, name := range names {
		var err error
		if all[name], err = testimage.NewSigner(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// policy is a policy that trusts these, as `kairos-agent policy new --plain` makes it.
func (s signers) policy(t *testing.T, names ...string) string {
	t.Helper()
	var o NewPolicy
	for _, name := range names {
		pem, err := s[name].PEM()
		if err != nil {
			t.Fatal(err)
		}
		o.Keys = append(o.Keys, NamedKey{Name: name, PEM: pem})
	}
	data, err := o.Encode(false)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// wantTrust checks which keys count now, and which are kept on COS_OEM.
func (n *disked) wantTrust(now, kept string) {
	n.t.Helper()
	names := func(p *policy.Policy, err error) string {
		if p == nil {
			return "nobody"
		}
		set := map[string]bool{}
		for _, k := range p.Keys {
			set[k.Name] = true
		}
		return strings.Join(slices.Sorted(maps.Keys(set)), " ")
	}
	if got := names(n.Policy()); got != now {
		n.t.Errorf("the node trusts %s, must trust %s", got, now)
	}
	if got := names(n.readPolicy(keptPolicy)); got != kept {
		n.t.Errorf("kept are %s, must be %s", got, kept)
	}
}

const notTrusted = "not signed by anybody that this node trusts"

// TestRotation replaces the key of the images on a running node, in two upgrades.
func TestRotation(t *testing.T) {
	s := newSigners(t, "old", "new")
	n := newDisked(t, imageWith(t, "v1.0.0", s.policy(t, "old")))
	n.settle()
	n.wantTrust("old", "old")

	both := n.push("v1.1.0", imageWith(t, "v1.1.0", s.policy(t, "old", "new")), s["old"])
	alone := n.push("v1.2.0", imageWith(t, "v1.2.0", s.policy(t, "new")), s["new"])
	late := n.push("v1.3.0", imageWith(t, "v1.3.0", s.policy(t, "old")), s["old"])
	next := n.push("v1.4.0", imageWith(t, "v1.4.0", s.policy(t, "new")), s["new"])

	n.refuses(alone, policy.ErrUntrusted, notTrusted)
	if r := n.upgradeTo("b", upgrade.Options{Source: both}); !strings.Contains(strings.Join(r.Trust, " "), `signed by key "old"`) {
		t.Errorf("trusted because of %q", r.Trust)
	}
	n.wantTrust("old", "old") // slot b does not run yet
	n.boot("b")
	n.wantTrust("new old", "old") // and is not good yet
	n.settle()
	n.wantTrust("new old", "new old")

	if r := n.upgradeTo("a", upgrade.Options{Source: alone}); !strings.Contains(strings.Join(r.Trust, " "), `signed by key "new"`) {
		t.Errorf("trusted because of %q", r.Trust)
	}
	n.boot("a")
	n.settle()
	n.wantTrust("new", "new")
	n.refuses(late, policy.ErrUntrusted, notTrusted)
	n.upgradeTo("b", upgrade.Options{Source: next})
	if line := n.Status(t.Context()).Trust; line == nil || !strings.Contains(line.Image, `signed by key "new"`) {
		t.Errorf("the status says %+v of the image that runs", line)
	}
}

// TestRotationThatSkips: a node that never had the image with both keys takes the one after
// it only if the old key signed it, too.
func TestRotationThatSkips(t *testing.T) {
	s := newSigners(t, "old", "new")
	n := newDisked(t, imageWith(t, "v1.0.0", s.policy(t, "old")))
	n.settle()
	image := imageWith(t, "v1.2.0", s.policy(t, "new"))
	n.refuses(n.push("v1.2.0", image, s["new"]), policy.ErrUntrusted, notTrusted)

	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.2.0", image, s["old"])})
	n.boot("b")
	n.settle()
	n.wantTrust("new", "new")
	n.refuses(n.push("v1.3.0", imageWith(t, "v1.3.0", ""), s["old"]), policy.ErrUntrusted, notTrusted)
}

// TestRotationThatIsCutOff: until the new slot is good, a loss of power leads back to the
// policy of the good slot, however often the new one was tried.
func TestRotationThatIsCutOff(t *testing.T) {
	s := newSigners(t, "old", "new")
	n := newDisked(t, imageWith(t, "v1.0.0", s.policy(t, "old")))
	n.settle()
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.1.0", imageWith(t, "v1.1.0", s.policy(t, "new")), s["old"])})
	for range slot.MaxTries { // each boot ends before the health checks do
		n.boot("b")
		n.wantTrust("new", "old")
	}
	n.boot("a")
	n.wantTrust("old", "old")
	n.settle()
	n.wantSlots(slot.State{Good: "a", Bad: "b"})
	n.wantTrust("old", "old")
	n.refuses(n.push("v1.2.0", imageWith(t, "v1.2.0", ""), s["new"]), policy.ErrUntrusted, notTrusted)
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.3.0", imageWith(t, "v1.3.0", ""), s["old"])})
}

// TestFailedTrialTeachesNothing: neither the policy nor the version of a slot counts whose
// health checks did not pass.
func TestFailedTrialTeachesNothing(t *testing.T) {
	s := newSigners(t, "old", "new")
	n := newDisked(t, imageWith(t, "v1.0.0", s.policy(t, "old")))
	n.settle()
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.1.0", imageWith(t, "v1.1.0", s.policy(t, "new")), s["old"])})
	n.boot("b")
	n.probe = errors.New("down")
	synctest.Test(t, func(t *testing.T) { // time flies: a check is repeated for minutes
		if err := n.Settle(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if n.restarts != 1 {
		t.Errorf("%d restarts, want 1: the trial failed", n.restarts)
	}
	n.wantTrust("new", "old")
	n.wantFloor("v1.0.0")
}

// TestNoUpgradeOnTrial: a slot that has not proved itself chooses no other image, whatever
// its policy says.
func TestNoUpgradeOnTrial(t *testing.T) {
	s := newSigners(t, "old", "new")
	n := newDisked(t, imageWith(t, "v1.0.0", s.policy(t, "old")))
	n.settle()
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.1.0", imageWith(t, "v1.1.0", s.policy(t, "new")), s["old"])})
	n.boot("b")
	n.refuses(n.push("v1.2.0", imageWith(t, "v1.2.0", ""), s["new"]), slot.ErrOnTrial, "on trial")
}

// TestPolicyWithATypo: a policy with a mistake does not count. The node keeps that of the
// last good slot, with all its keys, and says where the mistake is.
func TestPolicyWithATypo(t *testing.T) {
	s := newSigners(t, "old", "new")
	n := newDisked(t, imageWith(t, "v1.0.0", s.policy(t, "old")))
	n.settle()
	typo := strings.Replace(s.policy(t, "new"), "keys:", "kyes:", 1)
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.1.0", imageWith(t, "v1.1.0", typo), s["old"])})
	n.boot("b")
	n.wantTrust("old", "old")
	n.settle()
	n.wantSlots(slot.State{Good: "b"})
	n.wantTrust("old", "old")
	const says = `/etc/kairos/policy.yaml:2:1: kyes: unknown key; did you mean "keys"?`
	_, err := n.Policy()
	if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "the policy of before counts") {
		t.Errorf("got %v, want %q", err, says)
	}
	if problems := strings.Join(n.Status(t.Context()).Problems, "\n"); !strings.Contains(problems, says) {
		t.Errorf("the status says %q", problems)
	}
	n.refuses(n.push("v1.2.0", imageWith(t, "v1.2.0", ""), s["new"]), policy.ErrUntrusted, notTrusted)
	r := n.upgradeTo("a", upgrade.Options{Source: n.push("v1.3.0", imageWith(t, "v1.3.0", ""), s["old"])})
	if !strings.Contains(strings.Join(r.Warnings, "\n"), says) {
		t.Errorf("the upgrade warns of %q", r.Warnings)
	}
}

// TestImageWithoutPolicy: an image without a policy ends the trust in its own signer. The
// policy that was kept counts for mistakes only.
func TestImageWithoutPolicy(t *testing.T) {
	s := newSigners(t, "old")
	n := newDisked(t, imageWith(t, "v1.0.0", s.policy(t, "old")))
	n.settle()
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.1.0", imageWith(t, "v1.1.0", ""), s["old"])})
	n.boot("b")
	n.settle()
	n.wantTrust("nobody", "old")
	n.refuses(n.push("v1.2.0", imageWith(t, "v1.2.0", ""), s["old"]), policy.ErrNone, "kairos-agent policy new --key FILE")
}

// TestFloorRisesAfterTheTrial: a version counts as the newest once its slot is good, and
// stays it after a rollback.
func TestFloorRisesAfterTheTrial(t *testing.T) {
	s := newSigners(t, "k")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	images := map[string]string{}
	for _, version := range []string{"v1.1.0", "v1.2.0"} {
		images[version] = n.push(version, imageWith(t, version, trusts), s["k"])
	}

	n.upgradeTo("b", upgrade.Options{Source: images["v1.2.0"]})
	for range slot.MaxTries {
		n.boot("b")
	}
	n.boot("a")
	n.settle()
	n.wantFloor("v1.0.0")
	n.upgradeTo("b", upgrade.Options{Source: images["v1.1.0"]}) // v1.2.0 was never good
	n.boot("b")
	n.wantFloor("v1.0.0")
	n.settle()
	n.wantFloor("v1.1.0")

	n.upgradeTo("a", upgrade.Options{Source: images["v1.2.0"]})
	n.boot("a")
	n.settle()
	n.wantFloor("v1.2.0")
	if _, _, err := n.Rollback(RollbackOptions{Tries: slot.MaxTries}); err != nil {
		t.Fatal(err)
	}
	n.boot("b")
	n.settle()
	n.wantFloor("v1.2.0")
	n.refuses(images["v1.1.0"], upgrade.ErrDowngrade, "version v1.1.0, this node had v1.2.0; --force installs it nevertheless")
	n.upgradeTo("a", upgrade.Options{Source: images["v1.1.0"], Force: true})
	n.boot("a")
	n.settle()
	n.wantFloor("v1.2.0")
}

func (n *disked) wantFloor(want string) {
	n.t.Helper()
	r, err := n.trustRecord()
	if got := r.Floor["KAIROS_VERSION"]; err != nil || got != want {
		n.t.Errorf("the floor is %q (%v), must be %s", got, err, want)
	}
}

// TestUnverifiedIsVisible: an image that nobody vouches for is in the status until a verified
// one is good in its place, also when the note about it is lost.
func TestUnverifiedIsVisible(t *testing.T) {
	s := newSigners(t, "k")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	bad := n.push("v1.1.0", imageWith(t, "v1.1.0", trusts))
	fails := n.push("v1.2.0", imageWith(t, "v1.2.0", trusts), s["k"])
	good := n.push("v1.3.0", imageWith(t, "v1.3.0", trusts), s["k"])

	n.wantVisible(false)
	n.refuses(bad, policy.ErrUnsigned, "kairos-build sign")
	n.wantVisible(false)
	n.upgradeTo("b", upgrade.Options{Source: bad, SkipVerify: true})
	n.wantVisible(true)
	n.boot("b")
	n.wantVisible(true)
	n.settle()
	n.wantVisible(true)
	n.loseNote()
	n.wantVisible(true)

	n.upgradeTo("a", upgrade.Options{Source: fails})
	n.wantVisible(true) // it still runs
	for range slot.MaxTries {
		n.boot("a")
	}
	n.boot("b")
	n.settle()
	n.wantVisible(true) // and runs again

	n.upgradeTo("a", upgrade.Options{Source: good})
	n.boot("a")
	n.settle()
	n.wantVisible(false)
	if r, err := n.trustRecord(); err != nil || r.Unverified != nil {
		t.Errorf("the note says %+v, %v", r.Unverified, err)
	}
}

// TestUnverifiedNote: the note on COS_OEM is for users other than root, who cannot read the
// slots. It lasts as long.
func TestUnverifiedNote(t *testing.T) {
	s := newSigners(t, "k")
	trusts := s.policy(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", trusts))
	n.settle()
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.1.0", imageWith(t, "v1.1.0", trusts)), SkipVerify: true})
	n.wantNote("b")
	n.boot("b")
	n.settle()
	n.wantNote("b")
	n.upgradeTo("a", upgrade.Options{Source: n.push("v1.2.0", imageWith(t, "v1.2.0", trusts), s["k"])})
	n.wantNote("b")
	n.boot("a")
	n.settle()
	n.wantNote("")
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.3.0", imageWith(t, "v1.3.0", trusts)), SkipVerify: true})
	n.wantNote("b")
	n.upgradeTo("b", upgrade.Options{Source: n.push("v1.4.0", imageWith(t, "v1.4.0", trusts), s["k"])})
	n.wantNote("") // it was overwritten
}

func (n *disked) wantNote(want layout.Slot) {
	n.t.Helper()
	r, err := n.trustRecord()
	var got layout.Slot
	if r.Unverified != nil {
		got = r.Unverified.Slot
	}
	if err != nil || got != want {
		n.t.Errorf("the note is about slot %q (%v), must be about %q", got, err, want)
	}
}

// loseNote removes what the node noted, as a full or damaged COS_OEM does.
func (n *disked) loseNote() {
	n.t.Helper()
	put(n.t, n.Root.Dir, layout.NotesDir+"/trust.json", `{"version": 1}`)
}

// wantVisible checks whether the status says that an image was not verified.
func (n *disked) wantVisible(want bool) {
	n.t.Helper()
	s := n.Status(n.t.Context())
	said := strings.Contains(strings.Join(s.Problems, "\n"), "WITHOUT VERIFICATION, with --insecure-skip-verify")
	listed := s.Trust != nil && len(s.Trust.Unverified) == 1
	if said != want || listed != want {
		n.t.Errorf("visible: in the problems %v, in the list %v, must be %v; %q", said, listed, want, s.Problems)
	}
}

// TestForceIsNoSignature: --force never replaces one.
func TestForceIsNoSignature(t *testing.T) {
	s := newSigners(t, "k")
	n := newDisked(t, imageWith(t, "v1.0.0", s.policy(t, "k")))
	n.settle()
	ref := n.push("v1.1.0", imageWith(t, "v1.1.0", ""))
	if _, err := n.Upgrade(t.Context(), upgrade.Options{Source: ref, Force: true}); !errors.Is(err, policy.ErrUnsigned) {
		t.Errorf("got %v, want a refusal", err)
	}
}
