// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"sync"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/watchdog"
)

// The watchdog's limit, and how often it is fed. systemd has the same limit
// (RuntimeWatchdogSec= in framework/rootfs), and has to take over the watchdog
// before the limit is reached.
const (
	watchdogLimit = time.Minute
	feedInterval  = 10 * time.Second
)

// softdog is the kernel's watchdog for machines without one: a timer, which does
// not help when the kernel itself hangs.
const softdog = "softdog"

// startWatchdog starts the machine's watchdog, or softdog. A machine without any
// boots all the same. /init never stops the watchdog: it runs on, and systemd takes
// it over.
func (b *boot) startWatchdog() error {
	b.loadWatchdog()
	return b.openWatchdog(watchdog.Path)
}

func (b *boot) openWatchdog(path string) error {
	d, err := watchdog.Open(path, watchdogLimit)
	if d == nil {
		b.warn("there is no watchdog (%v): a hang of this machine is not ended by itself", err)
		return nil
	}
	if err != nil {
		b.warn("%v", err)
	}
	b.state.Watchdog = d.Name
	b.feeder = feed(d, feedInterval, func(err error) { b.log.Warn("WARNING: " + err.Error()) })
	b.info("watchdog %q resets this machine when it is not fed for %v", d.Name, watchdogLimit)
	return nil
}

// loadWatchdog loads the driver of the machine's own watchdog. The watchdog is often
// a part of another device, whose driver has to come first.
func (b *boot) loadWatchdog() {
	for range 3 {
		if loaded, err := b.loadDrivers(); !loaded || err != nil {
			break
		}
	}
	if _, err := os.Stat(watchdog.Path); err == nil || b.modules == nil {
		return
	}
	if err := b.modules.ByName(softdog); err != nil {
		b.warn("%v", err)
	}
}

// A dog is a watchdog that can be fed.
type dog interface{ Feed() error }

// A feeder feeds a dog at an interval, and not at every step: a step may well take
// longer than the dog's limit. stepTimer ends a step that takes too long; the dog
// is for a kernel, a Go runtime or a restart that hangs.
type feeder struct {
	stop func()
}

// feed begins to feed d. It calls warn once, at the first error, and then stops.
func feed(d dog, interval time.Duration, warn func(error)) *feeder {
	done := make(chan struct{})
	f := &feeder{stop: sync.OnceFunc(func() { close(done) })}
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			if err := d.Feed(); err != nil {
				warn(err)
				return
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return f
}

// letGo stops feeding: if nothing else restarts the machine, the watchdog does.
// Without a watchdog it does nothing.
func (f *feeder) letGo() {
	if f != nil {
		f.stop()
	}
}
