// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// bootLoader is the boot loader of the disk that the node was booted from.
type bootLoader struct {
	bootconf.Loader
	booted *thisboot.Boot
}

// openBootloader opens the boot loader of the disk that the node was booted
// from.
func openBootloader(booted *thisboot.Boot) (*bootloader.Node, error) {
	esp, err := booted.Device(layout.PartEFI)
	if err != nil {
		return nil, err
	}
	return bootloader.OpenNode(booted.Disk.Device, esp, bootloader.EFIVars, time.Now())
}

// Stage puts an image's boot loader beside the node's, if the two differ. The notes
// are sentences that say what happens to it next.
func (l bootLoader) Stage(programs map[string][]byte) (notes []string, err error) {
	files, err := bootloader.New(programs)
	if err != nil {
		return nil, err
	}
	n, err := openBootloader(l.booted)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	update, err := bootloader.Plan(n.Machine, files)
	if err != nil || update.State == bootloader.Current {
		return nil, err
	}
	staged, err := bootloader.Stage(n.Machine, files)
	if err != nil {
		return nil, err
	}
	note := "the image has another boot loader (" + strings.Join(update.Changes, ", ") + "); it is tried at the next boot, and installed when the slot is good"
	if staged.Unproved != nil {
		note = fmt.Sprintf("the image has another boot loader (%s); it is installed when the slot is good, without a trial: %v", strings.Join(update.Changes, ", "), staged.Unproved)
	}
	return []string{note}, nil
}

// settleBootloader finishes an update of the boot loader, after the slot became good.
// The line says how the update ended; it is empty if there was none.
func settleBootloader(booted *thisboot.Boot) (line string, err error) {
	n, err := openBootloader(booted)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	o, err := bootloader.Settle(n.Machine)
	switch {
	case err != nil || o.Was == "":
		return "", err
	case o.Now == bootloader.Current && o.Unproved != nil:
		return fmt.Sprintf("the boot loader was replaced, without a trial: %v", o.Unproved), nil
	case o.Now == bootloader.Current:
		return "the boot loader was replaced, after a boot that proved it", nil
	}
	return fmt.Sprintf("the update of the boot loader was %s and is %s", o.Was, o.Now), nil
}
