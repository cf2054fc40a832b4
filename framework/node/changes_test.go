// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/install/reset"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

func TestHooks(t *testing.T) {
	for _, c := range []struct {
		name, config string
		before       string
		after        []string
		ran          string
	}{
		{"none", "hostname: a\n", "", nil, ""},
		{
			"in order", "stages: {after-upgrade: [{commands: ['echo after >>DIR/ran']}], before-upgrade: [{commands: ['echo before >>DIR/ran']}], before-reset: [{commands: [exit 1]}]}\n",
			"", nil, "before\nafter\n",
		},
		{
			"with the variables of the config", "env: {SITE: north}\nstages: {before-upgrade: [{commands: ['echo $SITE >>DIR/ran']}]}\n",
			"", nil, "north\n",
		},
		{
			"the first fails", "stages: {before-upgrade: [{commands: [exit 3]}]}\n",
			"stage before-upgrade: a step failed, see `kairos-agent report`; nothing was written", nil, "",
		},
		{
			"the last fails, and one is in a chroot", "stages: {after-upgrade: [{name: x, commands: [exit 3]}], after-upgrade-chroot: [{commands: ['echo no >>DIR/ran']}]}\n", "",
			[]string{
				"stage after-upgrade-chroot: its 1 steps did not run: nothing can be changed in a verified image; what the image is to have belongs into its flavor",
				"/oem/90.yaml:1:26: stage after-upgrade, step x: command /oem/90.yaml:1:47: exit status 3",
			}, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newNode(t)
			put(t, dir, "ran", "")
			put(t, dir, "oem/90.yaml", strings.ReplaceAll(c.config, "DIR", dir))
			var stderr bytes.Buffer
			n := &Node{Root: tree.Root{Dir: dir, KeepOwner: true}, Stderr: &stderr, Log: slog.New(slog.DiscardHandler)}
			merged, _ := n.configNow()
			h := n.hooksOf("upgrade", merged)
			err := h.Before(t.Context())
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.before {
				t.Fatalf("before: %q, want %q", got, c.before)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(c.after, h.After(t.Context())); diff != "" {
				t.Errorf("after (-want +got):\n%s", diff)
			}
			for _, line := range c.after {
				if !strings.Contains(stderr.String(), line) {
					t.Errorf("%q is not said in %q", line, stderr.String())
				}
			}
			if ran := content(t, dir, "ran"); ran != c.ran {
				t.Errorf("ran %q, want %q", ran, c.ran)
			}
		})
	}
}

// TestHooksOfChanges: a change runs its hooks before it looks at anything.
func TestHooksOfChanges(t *testing.T) {
	for _, c := range []struct {
		stage string
		slot  layout.Slot
		mode  layout.Mode
		do    doing
	}{
		{"before-upgrade", layout.SlotA, layout.ModeActive, tryUpgrade},
		{"before-reset", layout.SlotRecovery, layout.ModeRecovery, tryReset},
	} {
		t.Run(c.stage, func(t *testing.T) {
			m := newMachine(t, c.slot, c.mode, slot.State{Good: "a"})
			if c.stage == "before-reset" { // a reset looks at all partitions
				putState(t, m.Root.Dir, c.slot, c.mode)
			}
			put(t, m.Root.Dir, "oem/90.yaml", "stages: {"+c.stage+": [{commands: [exit 3]}]}\n")
			code := m.do(t.Context(), c.do)
			if want := "stage " + c.stage + ": a step failed, see `kairos-agent report`; nothing was written"; code != 1 || !strings.Contains(m.out.String(), want) || m.env.writes != 0 {
				t.Errorf("status %d, %d writes: %s", code, m.env.writes, m.out)
			}
		})
	}
}

var (
	tryUpgrade doing = func(n *Node, ctx context.Context) error {
		_, err := n.Upgrade(ctx, upgrade.Options{Source: "dir:/nowhere"})
		return err
	}
	tryReset doing = func(n *Node, ctx context.Context) error {
		plan, err := n.PlanReset(reset.Options{})
		return errors.Join(err, n.Reset(ctx, plan))
	}
)

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if err := errors.New("disk"); !errors.Is(interrupted(ctx, err), err) {
		t.Error("an error without an interruption was changed")
	}
	cancel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&upgrade.IncompleteError{Slot: "b", Good: "a", Err: ctx.Err()}, "interrupted: slot b is not complete; slot a stays good; run the upgrade again"},
		{ctx.Err(), "interrupted; nothing was written"},
	} {
		if got := interrupted(ctx, tt.err).Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
