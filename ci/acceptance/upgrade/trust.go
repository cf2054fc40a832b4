// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Repositories with the next version: a signature counts in its own repository only.
const (
	unsigned = "unsigned"
	stranger = "stranger"
)

// pushUntrusted pushes images that the node does not trust.
func (t *story) pushUntrusted() error {
	somebody, err := testimage.NewSigner()
	if err != nil {
		return err
	}
	return errors.Join(
		t.registry.PushBy(nil, unsigned, "next", t.Lab.Images.Next),
		t.registry.PushBy(somebody, stranger, "next", t.Lab.Images.Next),
	)
}

// untrusted tries images that the node does not trust. The kernel counts the sectors that
// are written to a partition, so nothing is overlooked.
func (t *story) untrusted(ctx context.Context) (string, error) {
	before, err := t.written(ctx)
	if err != nil {
		return "", err
	}
	all := errors.Join(
		t.try(ctx, `the image is not signed`, "--source", t.registry.Ref(unsigned, "next")),
		t.try(ctx, `not signed by anybody that this node trusts`, "--source", t.registry.Ref(stranger, "next")),
		t.try(ctx, `the image is not signed`, "--source", t.registry.Ref(unsigned, "next"), "--force"),
	)
	after, err := t.written(ctx)
	if err == nil && after != before {
		err = fmt.Errorf("sectors were written: before %s, after %s", before, after)
	}
	return before, errors.Join(all, err, t.Slots(ctx, slot.Good, slot.Old))
}

// sectorsWritten is the field of /sys/class/block/NAME/stat with the number of sectors that
// were written (the kernel's Documentation/block/stat.rst).
const sectorsWritten = 6

// written says how many sectors were written to each partition that an upgrade writes to.
func (t *story) written(ctx context.Context) (string, error) {
	var words []string
	for _, name := range []string{layout.PartEFI, layout.SlotB.Root(), layout.SlotB.Boot()} {
		device, err := t.Guest.Output(ctx, "readlink", "-e", "/dev/disk/by-partlabel/"+name)
		if err != nil {
			return "", err
		}
		text, err := t.Guest.Output(ctx, "cat", "/sys/class/block/"+path.Base(strings.TrimSpace(device))+"/stat")
		if err != nil {
			return "", err
		}
		fields := strings.Fields(text)
		if len(fields) <= sectorsWritten {
			return "", fmt.Errorf("the kernel's figures of partition %s are %q", name, text)
		}
		words = append(words, fmt.Sprintf("%s %s", name, fields[sectorsWritten]))
	}
	return strings.Join(words, ", "), nil
}

// signer checks what the status says after an upgrade that is good.
func (t *story) signer(ctx context.Context) (string, error) {
	status, err := t.Status(ctx)
	if err != nil {
		return "", err
	}
	return status.Trust.Image, judgeTrust(status, lab.KeyName, lab.NextVersion)
}

// judgeTrust checks who vouches for the image that runs, and the floor.
func judgeTrust(s lab.NodeStatus, key, floor string) error {
	var all error
	if want := fmt.Sprintf("signed by key %q", key); !strings.HasPrefix(s.Trust.Image, want) {
		all = fmt.Errorf("the status says that the image is %q, must be %s", s.Trust.Image, want)
	}
	if s.Trust.Floor != floor {
		all = errors.Join(all, fmt.Errorf("the status says that the floor is %q, must be %s", s.Trust.Floor, floor))
	}
	return all
}
