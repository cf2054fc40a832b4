// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/history"
)

// wordsTime is how long a write to the boot history may take when /init gives up a
// boot.
const wordsTime = 10 * time.Second

// wordsDir is where the oem partition is mounted for that write. It may be mounted
// elsewhere already.
const wordsDir = "/run/kairos-oem"

// leaveWords appends the reason of a failed boot to the boot history, so that the
// slot that boots next can report it. Without the partition, or when the disk is
// too slow, the reason is on the console only.
func (b *boot) leaveWords(reason error) {
	device := b.disk.paths[layout.PartOEM]
	if device == "" {
		return
	}
	done := make(chan error, 1)
	go func() { done <- writeWords(device, lastWords(reason, b.args)) }()
	var err error
	select {
	case err = <-done:
	case <-time.After(wordsTime):
		err = fmt.Errorf("%s takes nothing", device)
	}
	if err != nil {
		b.log.Warn("this is not in the boot history: " + err.Error())
	}
}

func writeWords(device string, e history.Entry) error {
	if err := mount.MakeFS("ext4", device, wordsDir, mount.NoAtime|mount.NoDev|mount.NoSUID, "errors=remount-ro"); err != nil {
		return err
	}
	dir := wordsDir + strings.TrimPrefix(history.Dir, layout.MountOEM)
	return errors.Join(history.Append(dir, e), mount.Unmount(wordsDir))
}

// lastWords returns the history entry of a boot that ended here.
func lastWords(reason error, a arguments) history.Entry {
	e := history.Entry{
		Time: time.Now().UTC().Truncate(time.Second), Kind: history.Boot, Slot: a.Slot, Outcome: history.Failed,
		Message: fmt.Sprintf("the initramfs gave up: %v", reason),
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		e.BootID = strings.TrimSpace(string(id))
	}
	return e
}
