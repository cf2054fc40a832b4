// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/kairos-build/kairos-build/framework/bootenv"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// bootEnv is the boot loader's environment on the EFI partition.
type bootEnv interface {
	slot.Store
	// Update replaces the state by what change makes of it, and returns that.
	// Nobody else changes it in the meantime.
	Update(change func(slot.State) (slot.State, error)) (slot.State, error)
	Close() error
}

// openStore opens the boot environment on an EFI partition, such as /dev/vda2.
func openStore(esp string) (bootEnv, error) { return bootenv.Open(esp) }
