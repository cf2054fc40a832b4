// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

func on(n Runner) *Machine { return &Machine{Guest: &Guest{Runner: n}} }

// TestSlots: both slots are judged by their conditions; an empty condition is skipped.
func TestSlots(t *testing.T) {
	m := on(labtest.Node{"kairos-agent status --json": labtest.Slots(slot.Good, slot.Bad)})
	for _, tt := range []struct {
		a, b slot.Condition
		want string
	}{
		{slot.Good, slot.Bad, ""}, {slot.Good, "", ""}, {"", slot.Bad, ""},
		{slot.Old, slot.Bad, "slot a must be old"}, {slot.Good, slot.Old, "slot b must be old"}, {slot.Trying, "", "slot a must be trying"}, {"", slot.Good, "slot b must be good"},
	} {
		labtest.Expect(t, m.Slots(t.Context(), tt.a, tt.b), tt.want)
	}
	labtest.Expect(t, on(labtest.Node{}).Slots(t.Context(), "", ""), "No such file")
	labtest.Expect(t, on(labtest.Node{"kairos-agent": labtest.Says("kairos")}).Slots(t.Context(), "", ""), "reading the status")
}

// A slowNode gives one answer at first, and another one after a while.
type slowNode struct {
	from    time.Time
	before  labtest.Node
	after   labtest.Node
	minutes time.Duration
}

func (n slowNode) RunInput(ctx context.Context, input string, argv ...string) (qemu.Output, error) {
	if time.Since(n.from) < n.minutes*time.Minute {
		return n.before.RunInput(ctx, input, argv...)
	}
	return n.after.RunInput(ctx, input, argv...)
}

// TestWaits: a wait ends only with the answer that it waits for.
func TestWaits(t *testing.T) {
	settled := func(m *Machine, ctx context.Context) error { return m.Settled(ctx) }
	bGood := func(m *Machine, ctx context.Context) error { return m.WaitSlot(ctx, layout.SlotB, slot.Good) }
	unproven := labtest.Node{"kairos-agent": labtest.Says(`{"next": {"unproven": 1}}`)}
	trying, good := labtest.Node{"kairos-agent": labtest.Slots(slot.Old, slot.Trying)}, labtest.Node{"kairos-agent": labtest.Slots(slot.Old, slot.Good)}
	for _, tt := range []struct {
		name          string
		judge         func(*Machine, context.Context) error
		before, after labtest.Node
		minutes       time.Duration
		want          string
	}{
		{"settled after a minute", settled, unproven, good, 1, ""},
		{"settled too late", settled, unproven, good, 10_000, "1 boots count as ones"},
		{"no status at first", settled, labtest.Node{}, good, 1, ""},
		{"good after a minute", bGood, trying, good, 1, ""},
		{"good too late", bGood, trying, good, 10_000, "slot b must be good"},
		{"another slot is good", bGood, trying, labtest.Node{"kairos-agent": labtest.Slots(slot.Good, slot.Bad)}, 1, "slot b must be good"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				err := tt.judge(on(slowNode{begin, tt.before, tt.after, tt.minutes}), t.Context())
				if labtest.Expect(t, err, tt.want); err == nil && time.Since(begin) < tt.minutes*time.Minute {
					t.Errorf("it was content after %v", time.Since(begin))
				}
			})
		})
	}
}

func TestSaysSlot(t *testing.T) {
	active := slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}
	for line, want := range map[string]string{
		"kairos: ready slot=a mode=active version=v1":          "",
		"kairos: ready slot=b mode=active version=v1":          "must say slot=a mode=active",
		"kairos: ready slot=a mode=passive version=v1":         "must say slot=a mode=active",
		"kairos: ready slot=recovery mode=recovery version=v1": "must say slot=a mode=active",
	} {
		m := ReadyLine.FindStringSubmatch(line)
		labtest.Expect(t, saysSlot(qemu.Match{Text: line, Groups: m}, active), want)
	}
}

// TestUpgrade: the node's report of an upgrade must match the builder's annotations of
// the image.
func TestUpgrade(t *testing.T) {
	image := mutate.Annotations(empty.Image, map[string]string{layout.AnnotationRootHash: "12ef"}).(v1.Image)
	for name, tt := range map[string]struct {
		out  qemu.Output
		want string
	}{
		"good":          {labtest.Says(`{"slot": "b", "version": "v2", "rootHash": "12ef", "seconds": 3, "verified": true, "trust": ["signed by key \"k\""]}`), ""},
		"not verified":  {labtest.Says(`{"slot": "b", "version": "v2", "rootHash": "12ef", "verified": false}`), "nobody vouches for the image"},
		"by nobody":     {labtest.Says(`{"slot": "b", "version": "v2", "rootHash": "12ef", "verified": true}`), "nobody vouches for the image"},
		"another hash":  {labtest.Says(`{"slot": "b", "rootHash": "12ee"}`), "the builder's is 12ef"},
		"no hash":       {labtest.Says(`{"slot": "b"}`), "the builder's is 12ef"},
		"another slot":  {labtest.Says(`{"slot": "a", "rootHash": "12ef"}`), "must be b"},
		"no result":     {labtest.Says("done"), "reading the result"},
		"it did not go": {labtest.Fails("no room"), "no room"},
	} {
		t.Run(name, func(t *testing.T) {
			m := on(labtest.Node{"kairos-agent upgrade --json --source oci:x": tt.out})
			_, err := m.Upgrade(t.Context(), slot.Choice{Slot: layout.SlotB}, image, "oci:x")
			labtest.Expect(t, err, tt.want)
		})
	}
}

// TestGuest: the helpers reject wrong output and unexpected success.
func TestGuest(t *testing.T) {
	g := &Guest{Runner: labtest.Node{"good": labtest.Says("yes\n"), "bad": labtest.Fails("no room"), "stat": labtest.Says("/a\n/b\n"), "tee": labtest.Says(""), "sync": labtest.Fails("I/O error")}}
	ctx := t.Context()
	labtest.Expect(t, g.Says(ctx, "^yes$", "good"), "")
	labtest.Expect(t, g.Says(ctx, "^no$", "good"), "must say")
	labtest.Expect(t, g.Says(ctx, "no room", "bad"), "exit status 1")
	labtest.Expect(t, g.Refuses(ctx, "no room", "bad"), "")
	labtest.Expect(t, g.Refuses(ctx, "read-only", "bad"), "failed with")
	labtest.Expect(t, g.Refuses(ctx, "yes", "good"), "succeeded")
	labtest.Expect(t, g.Mark(ctx, []string{"/a"}), "I/O error")
	if have, err := g.Existing(ctx, []string{"/a", "/b", "/c"}); err != nil || len(have) != 2 {
		t.Errorf("got %q, %v", have, err)
	}
	if _, err := sinceKernelStart(ctx, labtest.Node{"cat": labtest.Says("soon 1\n")}, time.Now()); err == nil {
		t.Error("no time is taken for one")
	}
	if up, err := sinceKernelStart(ctx, labtest.Node{"cat": labtest.Says("61.5 1\n")}, time.Now().Add(-time.Minute)); err != nil || up < time.Second || up > 2*time.Second {
		t.Errorf("the kernel ran for %v a minute ago, want 1.5 s; %v", up, err)
	}
}

// TestSurvivable: kernel crashes are survivable only in emulation.
func TestSurvivable(t *testing.T) {
	has := func(l *Lab, m string) bool {
		for _, f := range l.Survivable() {
			if f.Meaning == m {
				return true
			}
		}
		return false
	}
	for _, m := range []string{qemu.KernelCrashed, qemu.KernelPanicked} {
		if has(&Lab{Accel: qemu.Accelerator{Name: "tcg"}}, m) || !has(&Lab{Accel: qemu.KVM()}, m) {
			t.Errorf("%v must end a wait with KVM, and not in emulation", m)
		}
	}
}
