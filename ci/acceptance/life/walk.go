// SPDX-License-Identifier: Apache-2.0

// Package life tests a healthy node: from inside it is what it claims to be, it keeps
// its persistent state over a reboot, and it stays in its slot over many boots.
package life

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

// A Life boots a machine, or forks a ready node, and runs the list of checks, with a
// reboot in between if a row needs one. A long life may follow.
type Life struct {
	Shared bool // begins with a fork of the node that other machines fork too
	Long   bool // adds a long life
	Short  bool // makes the long life shorter
}

// A walk is the life of one machine.
type walk struct {
	Life
	*lab.Machine
}

// Tell runs the life of a machine.
func (l Life) Tell(ctx context.Context, m *lab.Machine) {
	s, checks, begin := walk{l, m}, checksFor(m.Boot, m.Lab.Host.Boots()[0]), m.Start
	if l.Shared {
		begin = m.Fork
	}
	if !s.enter("ready", "says that it is ready", func() error { return begin(ctx) }) {
		s.skipAll(checks, "the node did not come up")
		return
	}
	again := false
	for _, c := range checks {
		again = again || c.Second != nil
		if c.First != nil {
			s.check(ctx, c, c.First, c.Second == nil)
		}
	}
	if again && !s.walkAgain(ctx, checks) {
		return
	}
	if l.Long {
		s.live(ctx)
	}
}

// walkAgain reboots the machine for the second half of the list.
func (s walk) walkAgain(ctx context.Context, checks []Check) bool {
	if !s.enter("reboot", "comes up again after a reboot", func() error { return s.Reboot(ctx) }) {
		s.skipSecond(checks)
		return false
	}
	s.Conclude("unmounted", "had unmounted every file system before it restarted", 0, "", unmounted(s.VM.Console()))
	for _, c := range checks {
		if c.Second != nil {
			s.check(ctx, c, c.Second, true)
		}
	}
	return true
}

var (
	allUnmounted = regexp.MustCompile(`systemd-shutdown\[1\]: All filesystems unmounted`)
	notUnmounted = regexp.MustCompile(`Failed (to )?unmount`)
)

// unmounted judges the shutdowns on the console so far.
func unmounted(c lab.Console) error {
	if m, found := c.Find(notUnmounted); found {
		return fmt.Errorf("the console says %q", strings.TrimSpace(m.Text))
	}
	if _, found := c.Find(allUnmounted); !found {
		return fmt.Errorf("nothing on the console matches %q", allUnmounted)
	}
	return nil
}

// enter runs a step that all later ones depend on.
func (s walk) enter(name, title string, step func() error) bool {
	begin := time.Now()
	err := step()
	message := ""
	if err == nil && len(s.Boots) > 0 {
		message = fmt.Sprintf("%.1f s from the start of the kernel", s.Boots[len(s.Boots)-1].ReadySeconds)
	}
	s.Conclude(name, title, time.Since(begin), message, err)
	return err == nil
}

func (s walk) skipAll(checks []Check, why string) {
	for _, c := range checks {
		s.Skip(c.Name, c.Title, why)
	}
}

// skipSecond skips the rows whose second half could not run.
func (s walk) skipSecond(checks []Check) {
	for _, c := range checks {
		if c.Second != nil {
			s.SkipRest(c.Name, c.Title, "the node did not come up again")
		}
	}
}

// check runs one half of a row with a time limit. last means that no other half follows.
func (s walk) check(ctx context.Context, c Check, half func(context.Context, *lab.Guest) (string, error), last bool) {
	ctx, cancel := qemu.WithTimeout(ctx, lab.CheckTimeout)
	defer cancel()
	begin, note := time.Now(), s.Record
	message, err := half(ctx, s.Guest)
	if last || err != nil {
		note = s.Conclude
	}
	note(c.Name, c.Title, time.Since(begin), message, err)
}
