// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeDog counts its meals and refuses after limit.
type fakeDog struct{ meals, limit int }

func (d *fakeDog) Feed() error {
	if d.meals++; d.meals > d.limit {
		return errors.New("full")
	}
	return nil
}

// TestFeed: feeding goes on during a long step, and ends with letGo, so that the
// watchdog resets the machine.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDog{limit: 1000}
		f := feed(d, feedInterval, func(err error) { t.Error(err) })
		time.Sleep(stepLimit + time.Second)
		synctest.Wait()
		if want := int(stepLimit/feedInterval) + 1; d.meals != want {
			t.Errorf("%d meals, want %d", d.meals, want)
		}
		f.letGo()
		f.letGo()
		before := d.meals
		time.Sleep(time.Hour)
		if d.meals != before {
			t.Errorf("%d meals after the end", d.meals-before)
		}
	})
}

func TestFeedFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warnings := 0
		feed(&fakeDog{limit: 2}, feedInterval, func(error) { warnings++ })
		time.Sleep(time.Hour)
		synctest.Wait()
		if warnings != 1 {
			t.Errorf("%d warnings", warnings)
		}
	})
}

func TestNoWatchdog(t *testing.T) {
	var none *feeder
	none.letGo()
	if feedInterval*3 > watchdogLimit {
		t.Error("one missed meal would reset the machine")
	}
	b := &boot{log: slog.New(slog.DiscardHandler)}
	if err := b.openWatchdog(t.TempDir() + "/none"); err != nil || len(b.state.Warnings) != 1 || !strings.Contains(b.state.Warnings[0], "there is no watchdog") {
		t.Errorf("%v, warnings %q", err, b.state.Warnings)
	}
}
