// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Versions of the images of a rotation, above lab.NextVersion.
const (
	bothVersion = "v9999.2.0" // signed by the old key, trusts both
	newVersion  = "v9999.3.0" // signed by the new key, trusts it alone
	lateVersion = "v9999.4.0" // signed by the old key
)

// newKeyName is the name of the new key in the policies.
const newKeyName = "the new key"

// Rotation is a life in which the images get a new key.
func Rotation(ctx context.Context, m *lab.Machine) {
	t := &rotation{story: &story{Machine: m}, images: map[string]v1.Image{}}
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "ready", Title: "goes on from a node that is ready", Do: t.begin},
		{Name: "too-early", Title: "an image of the new key is refused", Do: t.tooEarly},
		{Name: "both", Title: "an image of the old key, whose policy has both, is written and good", Do: t.both},
		{Name: "new", Title: "an image of the new key, whose policy has that one alone, is written and good", Do: t.next},
		{Name: "too-late", Title: "an image of the old key is refused, and no sector is written", Do: t.tooLate},
	})
}

// A rotation is a story with a second key.
type rotation struct {
	*story
	key    *testimage.Signer   // the new one
	images map[string]v1.Image // by version
}

func (t *rotation) begin(ctx context.Context) (string, error) {
	message, err := t.story.begin(ctx)
	if err != nil {
		return message, err
	}
	if t.key, err = testimage.NewSigner(); err != nil {
		return "", err
	}
	if err := t.pushRotation(ctx); err != nil {
		return "", err
	}
	// From the next boot on, the policies of the images count, and every slot is good.
	access, err := t.Lab.AccessWithout()
	if err != nil {
		return "", err
	}
	if err := t.PutFile(ctx, "/oem/"+lab.AccessFile, string(access)); err != nil {
		return "", err
	}
	_, err = t.Guest.Output(ctx, "rm", storyFile)
	return message, err
}

// pushRotation pushes the images of the story.
func (t *rotation) pushRotation(ctx context.Context) error {
	old := map[string]*testimage.Signer{lab.KeyName: t.Lab.Signer}
	both := map[string]*testimage.Signer{lab.KeyName: t.Lab.Signer, newKeyName: t.key}
	alone := map[string]*testimage.Signer{newKeyName: t.key}
	for _, i := range []struct {
		version string
		signer  *testimage.Signer
		trusts  map[string]*testimage.Signer
	}{{bothVersion, t.Lab.Signer, both}, {newVersion, t.key, alone}, {lateVersion, t.Lab.Signer, old}} {
		policy, err := lab.Policy(i.trusts)
		if err != nil {
			return err
		}
		image, err := t.Lab.Images.Version(ctx, i.version, map[string][]byte{layout.ImagePolicy[1:]: policy})
		if err != nil {
			return err
		}
		t.images[i.version] = image
		if err := t.registry.PushBy(i.signer, lab.HonestName, i.version, image); err != nil {
			return err
		}
	}
	return nil
}

func (t *rotation) tooEarly(ctx context.Context) (string, error) {
	return "", t.refuses(ctx, newVersion)
}

func (t *rotation) both(ctx context.Context) (string, error) {
	return t.to(ctx, layout.SlotB, bothVersion, lab.KeyName, 2)
}

func (t *rotation) next(ctx context.Context) (string, error) {
	return t.to(ctx, layout.SlotA, newVersion, newKeyName, 1)
}

func (t *rotation) tooLate(ctx context.Context) (string, error) {
	return "", t.refuses(ctx, lateVersion)
}

// refuses tries an image whose key the node does not trust.
func (t *rotation) refuses(ctx context.Context, version string) error {
	before, err := t.written(ctx)
	if err != nil {
		return err
	}
	if err := t.try(ctx, "not signed by anybody that this node trusts", "--source", t.registry.Ref(lab.HonestName, version)); err != nil {
		return err
	}
	after, err := t.written(ctx)
	if err == nil && before != after {
		err = fmt.Errorf("sectors were written: before %s, after %s", before, after)
	}
	return err
}

// to upgrades the node to a version in slot x, boots it, and checks who vouches for it and
// how many keys it trusts then.
func (t *rotation) to(ctx context.Context, x layout.Slot, version, key string, keys int) (string, error) {
	message, err := t.Upgrade(ctx, slot.Choice{Slot: x}, t.images[version], t.registry.Ref(lab.HonestName, version))
	if err != nil {
		return "", err
	}
	if err := t.RebootBy(ctx, slot.Choice{Slot: x, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if err := t.WaitSlot(ctx, x, slot.Good); err != nil {
		return "", err
	}
	return message, lab.Until(ctx, func(ctx context.Context) error {
		status, err := t.Status(ctx)
		if err == nil && status.Trust.Keys != keys {
			err = fmt.Errorf("the node trusts %d keys, must be %d", status.Trust.Keys, keys)
		}
		if err == nil {
			err = judgeTrust(status, key, version)
		}
		return err
	})
}
