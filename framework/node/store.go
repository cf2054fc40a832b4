// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"

	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/thisboot"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Store is the boot loader's state on this node's disk.
type Store interface {
	slot.Store
	Close() error
}

// OpenStore opens the store of the disk that the node was booted from.
func OpenStore(booted *thisboot.State) (Store, error) {
	esp, ok := booted.Partition(layout.PartEFI)
	if !ok {
		return nil, fmt.Errorf("opening the boot environment: the disk has no partition named %s", layout.PartEFI)
	}
	return bootenv.Open(esp.Device)
}
