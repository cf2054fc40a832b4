// SPDX-License-Identifier: Apache-2.0

package console

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Active is the file that lists the consoles, such as "tty0 ttyS0".
const Active = "/sys/class/tty/console/active"

// ErrNoAnswer says that nobody answered in time.
var ErrNoAnswer = errors.New("nobody answered")

// Terminals are the consoles, where a person may sit at any of them. Close them.
type Terminals struct{ list []terminal }

type terminal struct {
	fd     int
	before unix.Termios
	typed  []byte // an answer that is not complete yet
}

// OpenTerminals opens the consoles that a list such as the content of Active names, in the
// directory dev (/dev), for secret answers: what is typed is not shown. A console that
// cannot be opened is left out; it is an error if none is left.
func OpenTerminals(dev, active string) (*Terminals, error) {
	t := &Terminals{}
	var errs []error
	for name := range strings.FieldsSeq(active) {
		one, err := openTerminal(dev + "/" + name)
		if err != nil {
			errs = append(errs, fmt.Errorf("console %s: %w", name, err))
			continue
		}
		t.list = append(t.list, one)
	}
	if len(t.list) == 0 {
		return nil, errors.Join(append(errs, errors.New("there is no console to ask on"))...)
	}
	return t, nil
}

// openTerminal opens a terminal that never blocks: the other end of a serial line may have
// stopped it.
func openTerminal(path string) (t terminal, err error) {
	if t.fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return t, err
	}
	now, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if err == nil {
		t.before = *now
		now.Lflag = now.Lflag&^unix.ECHO | unix.ICANON | unix.ECHONL
		now.Iflag |= unix.ICRNL
		now.Cflag |= unix.CREAD | unix.CLOCAL
		err = unix.IoctlSetTermios(t.fd, unix.TCSETS, now)
	}
	if err != nil {
		return t, errors.Join(err, unix.Close(t.fd))
	}
	return t, nil
}

// Say writes a text to every console. A console that takes nothing is left alone.
func (t *Terminals) Say(text string) {
	for _, one := range t.list {
		_, _ = unix.Write(one.fd, []byte(strings.ReplaceAll(text, "\n", "\r\n")))
	}
}

// Ask writes a question to every console and returns the first line that somebody types at
// one of them, without its end. After wait it returns ErrNoAnswer; what was typed so far
// counts for the next question.
func (t *Terminals) Ask(question string, wait time.Duration) ([]byte, error) {
	t.Say(question)
	for end := time.Now().Add(wait); ; { //nolint:forbidigo // a wait for a person
		left := time.Until(end)
		if left <= 0 {
			return nil, ErrNoAnswer
		}
		var fds []unix.PollFd
		for _, one := range t.list {
			fds = append(fds, unix.PollFd{Fd: int32(one.fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("waiting for an answer: %w", err)
		}
		for i := range fds {
			if fds[i].Revents == 0 {
				continue
			}
			if line, done := t.list[i].read(); done {
				return line, nil
			}
		}
		if hungUp(fds) {
			time.Sleep(min(left, time.Second)) // nobody is there, and poll returns at once
		}
	}
}

// read takes what was typed, and tells whether it is a whole line.
func (t *terminal) read() (line []byte, done bool) {
	b := make([]byte, 4096)
	n, err := unix.Read(t.fd, b)
	if err != nil || n <= 0 {
		return nil, false
	}
	t.typed = append(t.typed, b[:n]...)
	if last := len(t.typed) - 1; t.typed[last] == '\n' {
		line, t.typed = t.typed[:last], nil
		return line, true
	}
	return nil, false
}

func hungUp(fds []unix.PollFd) bool {
	for _, f := range fds {
		if f.Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			return true
		}
	}
	return false
}

// Close gives the consoles back as they were.
func (t *Terminals) Close() (err error) {
	for i := range t.list {
		one := &t.list[i]
		err = errors.Join(err, unix.IoctlSetTermios(one.fd, unix.TCSETS, &one.before), unix.Close(one.fd))
	}
	t.list = nil
	return err
}

// ActiveConsoles reads the file Active; without it, there is one that is called console.
func ActiveConsoles(file string) string {
	data, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(data)) == "" {
		return "console"
	}
	return string(data)
}
