// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/kmod"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// boot is the state of a boot, which its steps share.
type boot struct {
	log          *slog.Logger
	timer        *stepTimer
	feeder       *feeder // of the watchdog; nil without one
	panicSeconds int
	args         arguments
	modules      *kmod.Loader
	disk         disk
	table        *gpt.Table
	waiting      bool   // the log says already that the boot waits for a better disk
	personal     bool   // the disk has got an identity of its own in this boot
	copies       string // other disks with the identity of disk
	rootDevice   string // /dev/dm-N
	medium       medium // of a live system
	state        thisboot.Boot
	readSlots    readSlots
	passphrase   []byte // of a partition that a person has unlocked
	late         func() // what ends a step that takes too long
	sysfs        string // where the kernel shows disks and drivers
}

// A readSlots reads the boot loader's state of the slots from an EFI partition of
// size bytes.
type readSlots func(r io.ReaderAt, size int64) (slot.State, error)

// A step is one step of a boot: a line of the table in run.
type step struct {
	name string
	run  func() error
}

// stepLimit is how long a step may take before /init gives up the boot. The
// longest steps are the search for the disk, which has a shorter limit of its own
// by default, and growing a file system.
const stepLimit = 10 * time.Minute

func (b *boot) steps(list []step) error {
	for _, s := range list {
		b.late = func() {
			b.giveUp(fmt.Errorf("step %q takes more than %v: the disk or its driver hangs", s.name, stepLimit))
		}
		b.moreTime()
		begin := sinceKernelStart()
		if err := s.run(); err != nil {
			return fmt.Errorf("step %q: %w", s.name, err)
		}
		end := sinceKernelStart()
		b.state.Steps = append(b.state.Steps, thisboot.Step{
			Name: s.name, Milliseconds: milliseconds(end - begin), At: milliseconds(end),
		})
	}
	return nil
}

// moreTime gives the step that runs its whole time once more: it does not hang, but waits
// for a person.
func (b *boot) moreTime() { b.timer.start(stepLimit, b.late) }

// sinceKernelStart is CLOCK_BOOTTIME, the time in brackets in the kernel's log.
func sinceKernelStart() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// warn reports a problem that does not stop the boot, on the console and in the
// state that `kairos-agent status` shows.
func (b *boot) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.state.Warnings = append(b.state.Warnings, text)
	b.log.Warn("WARNING: " + text)
}

func (b *boot) info(format string, args ...any) { b.log.Info(fmt.Sprintf(format, args...)) }

// recoverFromBug turns a crash of this program into a failed boot.
func (b *boot) recoverFromBug() {
	if bug := recover(); bug != nil {
		b.giveUp(fmt.Errorf("BUG: %v\n%s", bug, debug.Stack()))
	}
}

// defaultPanicSeconds is how long the message stays on the screen when the kernel
// has no panic= argument.
const defaultPanicSeconds = 10

// liveSeconds is how long the message of a live system stays: a person has to read it,
// and nothing else is going to be started.
const liveSeconds = 60

// giveUp says why this slot does not boot and restarts the machine, so that
// the boot loader can count the try. It does not return.
func (b *boot) giveUp(err error) {
	if b.log == nil {
		b.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	b.feeder.letGo() // a disk that hangs blocks Sync and the restart
	if b.args.Live != "" {
		b.panicSeconds = max(b.panicSeconds, liveSeconds)
	}
	b.log.Error(failure(err, b.args, b.panicSeconds))
	b.leaveWords(err)
	unix.Sync()
	time.Sleep(time.Duration(b.panicSeconds) * time.Second)
	err = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	b.log.Error("the machine does not restart", "err", err)
	os.Exit(1) //nolint:forbidigo // the end of process 1 makes the kernel panic, and restart by its own means
}

// failure returns the message of a failed boot.
func failure(err error, a arguments, seconds int) string {
	var s strings.Builder
	fmt.Fprintf(&s, "BOOT FAILED: %v\n", err)
	if a.Live != "" {
		fmt.Fprintf(&s, "The live system was not started, and no disk was written to. Restarting in %d s.", seconds)
		return s.String()
	}
	if a.Slot != "" {
		fmt.Fprintf(&s, "slot %s was not started (mode %s).\n", a.Slot, a.Mode)
	}
	fmt.Fprintf(&s, "Restarting in %d s. The boot loader goes back to the good slot when the tries of this one are used up; choose another slot in its menu to go there now.", seconds)
	return s.String()
}

// A stepTimer calls a function unless it is started again in time.
type stepTimer struct{ timer *time.Timer }

func (w *stepTimer) start(limit time.Duration, late func()) {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.timer = time.AfterFunc(limit, late)
}
