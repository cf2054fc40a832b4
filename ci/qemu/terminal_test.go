// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// pty opens a pseudo-terminal: the user's side and the program's.
func pty(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: no pseudo-terminals here: %v", err)
	}
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close(); program.Close() })
	return person, program
}

func modes(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// stand returns a machine without a QEMU.
func stand(keys io.Writer) *VM {
	return &VM{
		run:     &process{done: make(chan struct{}), stderr: &tailWriter{limit: stderrTail}},
		console: newConsole(keys, "console.log", nil),
		ports:   map[int]int{22: 40022},
	}
}

func TestAttach(t *testing.T) {
	tests := []struct {
		name, typed, sent string
		end               func(*VM) // how the machine ends, nil if the person leaves
		want              string    // of the error
	}{
		{"the person leaves", "ls\r\x03\x1dnot sent", "ls\r\x03", nil, ""},
		{"the guest powers off", "", "", func(v *VM) { v.run.state = "exit status 0"; close(v.run.done) }, ""},
		{"QEMU crashes", "", "", func(v *VM) { v.run.state = "signal: aborted"; close(v.run.done) }, "signal: aborted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			person, program := pty(t)
			before := modes(t, program)
			var sent, talk bytes.Buffer
			v := stand(&sent)
			done := make(chan error)
			go func() { done <- v.Attach(t.Context(), Terminal{In: program, Out: io.Discard, Talk: &talk}, "me") }()
			for modes(t, program) == before { // until the terminal is raw
				select {
				case err := <-done:
					t.Fatalf("ended before the terminal was raw: %v", err)
				default:
				}
			}
			if _, err := person.WriteString(tt.typed); err != nil {
				t.Fatal(err)
			}
			if tt.end != nil {
				tt.end(v)
			}
			err := <-done
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff(before, modes(t, program)); diff != "" {
				t.Errorf("the terminal is not as before (-want +got):\n%s", diff)
			}
			if sent.String() != tt.sent {
				t.Errorf("sent %q, want %q", sent.String(), tt.sent)
			}
			if text := talk.String(); !strings.Contains(text, "Control-]") || !strings.Contains(text, "ssh -p 40022 me@127.0.0.1") {
				t.Errorf("said %q", text)
			}
		})
	}
}
