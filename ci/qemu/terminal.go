// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// leaveKey is Control-].
const leaveKey = 0x1d

// A Terminal is the terminal of a user.
type Terminal struct {
	In   *os.File  // put into raw mode if it is a terminal
	Out  io.Writer // gets the guest's output
	Talk io.Writer // gets messages to the user
}

// Attach connects the user with the console until the user presses Control-], or In, ctx
// or the machine ends. First it says how to leave and how to log in by SSH as user. When
// it returns, the terminal is in its earlier mode.
func (v *VM) Attach(ctx context.Context, t Terminal, user string) (err error) {
	fmt.Fprintf(t.Talk, "console of the virtual machine; to leave and end it: Control-]\n%s\n\n", sshHint(v.Port(22), user))
	if fd := int(t.In.Fd()); term.IsTerminal(fd) {
		before, rawErr := term.MakeRaw(fd)
		if rawErr != nil {
			return fmt.Errorf("putting the terminal into raw mode: %w", rawErr)
		}
		defer func() { err = errors.Join(err, term.Restore(fd, before)) }()
	}
	stop := v.Console().Tap(t.Out)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	typed := make(chan error, 1)
	go func() { typed <- v.typeFrom(ctx, t.In) }()
	select {
	case err = <-typed:
		return err
	case <-v.Done():
		cancel()
		<-typed //nolint:errcheck // it ends because of cancel
		return ignoreAsked(v.endError(ErrEnded))
	}
}

func sshHint(port int, user string) string {
	if user == "" {
		return "SSH: nobody can log in: this disk has no user; build it with --cloud-config FILE that has users:"
	}
	return fmt.Sprintf("SSH: ssh -p %d %s@127.0.0.1", port, user)
}

func ignoreAsked(err error) error {
	var exit *ExitError
	if errors.As(err, &exit) && exit.State != "exit status 0" {
		return err
	}
	return nil
}

// pollInterval is how soon an end is noticed while the user does not type.
const pollInterval = 200 * time.Millisecond

// typeFrom sends the user's keys until leaveKey. It reads only available bytes, so that no
// read is left hanging on the user's terminal afterwards.
func (v *VM) typeFrom(ctx context.Context, in *os.File) error {
	buf := make([]byte, 1024)
	for ctx.Err() == nil {
		ready, err := readable(int(in.Fd()), pollInterval)
		if err != nil || !ready {
			if err != nil {
				return err
			}
			continue
		}
		n, err := in.Read(buf)
		keys, leave := untilLeave(buf[:n])
		if len(keys) > 0 {
			if err := v.Send(string(keys)); err != nil {
				return err
			}
		}
		if leave || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the keyboard: %w", err)
		}
	}
	return nil
}

// untilLeave cuts the keys at leaveKey.
func untilLeave(keys []byte) (before []byte, leave bool) {
	for i, k := range keys {
		if k == leaveKey {
			return keys[:i], true
		}
	}
	return keys, false
}

func readable(fd int, wait time.Duration) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(wait.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("waiting for the keyboard: %w", err)
	}
	return n > 0, nil
}
