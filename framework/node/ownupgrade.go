// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/source"
)

const (
	// channelMark is the file by which the timer of kairos-upgrade.service starts: the config
	// names a channel.
	channelMark = "/run/kairos/upgrade.channel"
	// waitingMark has the digest of the image that the node began to write by itself in this boot.
	// It waits in its slot for the restart. The mark is gone with the boot: then the image is on
	// trial.
	waitingMark = "/run/kairos/upgrade.waiting"
)

// A Due is what a node that upgrades itself has to do. At most one of Not, Runs and Restart is
// set; with none it upgrades to the image.
type Due struct {
	Followed
	Not      string // why it does nothing now
	Restart  bool   // the image is written, and a window is open again
	Withdraw bool   // the channel went back to the image that runs, while another one waits
}

// Due decides what a node that upgrades itself has to do now.
func (n *Node) Due(ctx context.Context, now time.Time, o source.Options) (d Due, err error) {
	own := n.OwnUpgrades()
	switch {
	case own.Channel == "":
		return Due{Not: "the config names no channel"}, nil
	case !own.Window.Contains(now):
		return Due{Not: fmt.Sprintf("it is %s, and the window is %s", now.Format("Mon 15:04"), own.Window)}, nil
	}
	slots, _, err := n.Slots()
	if err != nil {
		return d, err
	}
	waiting, err := n.waiting()
	if err != nil {
		return d, err
	}
	trial := slices.IndexFunc(slots, func(s status.SlotInfo) bool { return s.Condition == slot.Trying })
	if trial >= 0 && !waits(slots[trial], waiting) {
		return Due{Not: fmt.Sprintf("slot %s is on trial", slots[trial].Slot)}, nil
	}
	if d.Followed, err = n.Follow(ctx, own.Channel, own.Repository, o); err != nil {
		return d, err
	}
	switch {
	case d.Runs:
		d.Withdraw = trial >= 0
	case trial >= 0: // an image that waits; a newer one replaces it
		d.Restart = d.Digest == waiting
	case d.Digest == waiting: // it was withdrawn, or not written to its end, and never booted
	default:
		d.Not = d.Against
	}
	return d, nil
}

// waits tells whether a slot on trial has the image that waits for a restart, by its digest. A slot
// whose label has no digest is somebody else's.
func waits(s status.SlotInfo, waiting string) bool {
	return !s.Booted && waiting != "" && s.Digest == waiting
}

// Await marks an image, by its digest, as one that the node writes by itself, before it is
// written: whenever that ends, the node and not a person restarts into it.
func (n *Node) Await(digest string) error {
	_, err := n.Root.Replace(waitingMark, tree.File{Mode: 0o644, Data: []byte(digest + "\n")})
	return err
}

// MayRestart tells whether the window of upgrades that the node makes by itself is open. If it
// is not, the image waits for the next one.
func (n *Node) MayRestart(now time.Time) bool { return n.OwnUpgrades().Window.Contains(now) }

// Withdraw gives up the image that waits for a restart, without a trial. The mark stays: if the
// channel names the image again, it is written again.
func (n *Node) Withdraw() error {
	_, _, err := n.rollback(RollbackOptions{})
	return err
}

// waiting is the digest of the image that waits for a restart in the window, or empty.
func (n *Node) waiting() (string, error) {
	data, err := n.Root.Read(waitingMark)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

// OwnUpgrades is what the config says of upgrades that the node makes by itself.
func (n *Node) OwnUpgrades() config.Upgrade {
	merged, _ := n.configNow()
	return merged.Upgrade
}

// markChannel leaves the mark by which the timer of upgrades starts.
func (n *Node) markChannel(u config.Upgrade) error {
	if u.Channel == "" {
		_, err := n.Root.Remove(channelMark)
		return err
	}
	_, err := n.Root.Replace(channelMark, tree.File{Mode: 0o644})
	return err
}
