// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/wipe"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// wipePersistent makes a new file system on the persistent partition when
// `kairos-agent reset` asked for it. A request that fails stays.
func (b *boot) wipePersistent() {
	device := b.disk.paths[layout.PartPersistent]
	if m, ok := b.state.Mount(layout.MountOEM); !ok || m.Kind != thisboot.MountData || device == "" {
		return
	}
	request, err := wipe.Read(sysroot + wipe.Path)
	if err != nil {
		b.warn("the persistent partition is not wiped: %v; ask again with `kairos-agent reset`", err)
	}
	if request == nil {
		return
	}
	size, err := sizeOf(device)
	if err != nil {
		b.warn("the persistent partition is not wiped: %v", err)
		return
	}
	wiped, err := request.Do(device, size, time.Now())
	if err != nil {
		b.warn("the persistent partition is not wiped: %v", err)
		return
	}
	if wiped {
		b.info("made a new file system on %s (%s), as was asked for at %s", layout.PartPersistent, device, request.Requested.Format(time.DateTime))
	}
	if err := os.Remove(sysroot + wipe.Path); err != nil {
		b.warn("a request that was acted on is still there, and does no harm: %v", err)
	}
}
