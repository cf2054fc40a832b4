// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// talk makes a console whose guest is the test.
func talk(t *testing.T, keys io.Writer, faults []Fault) (*Console, *io.PipeWriter) {
	t.Helper()
	r, w := io.Pipe()
	c := newConsole(keys, "console.log", faults)
	done := make(chan error)
	go func() { done <- c.feed(r, io.Discard) }()
	t.Cleanup(func() {
		w.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c, w
}

func say(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func TestStrip(t *testing.T) {
	in := "\x1b[2J\x1b[1;1HBdsDxe: \x1b[0mstarting\r\n\x1b]104\x07\x1b[!p\x1b(Bplain\x08\x00\ttab\x1bP+q\x1b\\end ✔"
	want := "BdsDxe: starting\nplain\ttabend ✔"
	var s stripper
	if got := string(s.strip([]byte(in))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var cut stripper
	var got []byte
	for i := range len(in) {
		got = append(got, cut.strip([]byte(in[i:i+1]))...)
	}
	if string(got) != want {
		t.Errorf("byte by byte: got %q, want %q", got, want)
	}
}

func FuzzStrip(f *testing.F) {
	f.Add([]byte("\x1b[1mx\x1b]0;t\x07y"), 3)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var one, two stripper
		cut = min(max(cut, 0), len(in))
		whole := one.strip(in)
		parts := append(two.strip(in[:cut]), two.strip(in[cut:])...)
		if !bytes.Equal(whole, parts) {
			t.Errorf("whole %q, in two parts %q", whole, parts)
		}
		if bytes.ContainsAny(whole, "\x1b\r\x07") {
			t.Errorf("control characters are left in %q", whole)
		}
	})
}

func TestWaitFor(t *testing.T) {
	c, w := talk(t, io.Discard, DefaultFaults())
	say(t, w, "one\r\ntwo kairos: ready slot=a mode=active version=1")
	m, err := c.WaitFor(t.Context(), regexp.MustCompile(`t(w)o`))
	if err != nil || m.Groups[1] != "w" {
		t.Fatalf("got %+v, %v", m, err)
	}
	go func() { _, _ = io.WriteString(w, ".0\r\nthree\r\n") }()
	m, err = c.WaitLine(t.Context(), regexp.MustCompile(`version=(\S+)`))
	if err != nil || m.Groups[1] != "1.0" {
		t.Fatalf("a line that came in two parts: got %+v, %v", m, err)
	}
	if _, ok := c.Find(regexp.MustCompile("^one$")); !ok {
		t.Error("Find does not see the beginning")
	}
}

// TestWaitForTime runs with a fake clock, so it takes less than a second.
func TestWaitForTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := talk(t, io.Discard, DefaultFaults())
		say(t, w, "waiting for nothing\n")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.WaitFor(ctx, regexp.MustCompile("never"))
		var timeout *TimeoutError
		if !errors.As(err, &timeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want a TimeoutError", err)
		}
		for _, want := range []string{"never", "console.log", "waiting for nothing"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not mention %q", err, want)
			}
		}
	})
}

func TestFaults(t *testing.T) {
	tests := []struct{ line, want string }{
		{"[    2.2] Kernel panic - not syncing: VFS: Unable to mount root fs", "the kernel panicked"},
		{"[    2.2] BUG: unable to handle page fault for address: 0", "the kernel crashed"},
		{"[    2.2] kairos-init: BOOT FAILED: step \"disk\": no disk", "the initramfs stopped"},
		{"grub rescue> ", "GRUB found no configuration"},
		{"grub> ", "GRUB stopped at its prompt"},
		{"UEFI Interactive Shell v2.2", "the UEFI firmware started its shell"},
		{"Shell> ", "the UEFI firmware started its shell"},
		{"Boot failed: not a bootable disk", "the firmware cannot boot a disk"},
		{"BdsDxe: No bootable option or device was found.", "the firmware found nothing to boot"},
		{"BdsDxe: failed to load Boot0001 from PciRoot: Access Denied", "Secure Boot refused"},
		{"You are in emergency mode. After logging in", "emergency mode"},
		{"(initramfs) ", "emergency mode"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			c, w := talk(t, io.Discard, DefaultFaults())
			say(t, w, "before\n"+tt.line)
			_, err := c.WaitFor(t.Context(), regexp.MustCompile("never"))
			var guest *GuestError
			if !errors.As(err, &guest) || !strings.Contains(guest.Fault, tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if c.fault() == nil {
				t.Error("fault: got nil")
			}
			c.Skip()
			if err := c.fault(); err != nil {
				t.Errorf("after Skip: got %v", err)
			}
		})
	}
}

// TestNoFault: lines of good boots that look like faults are none.
func TestNoFault(t *testing.T) {
	for _, line := range []string{
		"[    0.0] Command line: panic=5 systemd.crash_reboot=yes",
		"kairos-init: disk /dev/vda",
		"Loading grub> style menu",
		"[  OK  ] Started Emergency Shell watcher",
		"[    1.0] BUG: soft lockup detector enabled",
		"Reached target emergency.target was skipped",
	} {
		if f := match(DefaultFaults(), line); f != nil {
			t.Errorf("%q: got fault %q", line, f.Meaning)
		}
	}
}

func TestOrderOfFaultAndMatch(t *testing.T) {
	c, w := talk(t, io.Discard, DefaultFaults())
	say(t, w, "ready\nKernel panic - not syncing\n")
	if _, err := c.WaitFor(t.Context(), regexp.MustCompile("^ready")); err != nil {
		t.Fatalf("a match before a fault: got %v", err)
	}
	if _, err := c.WaitFor(t.Context(), regexp.MustCompile("^ready")); err == nil {
		t.Fatal("a fault and no match: got no error")
	}
}

func TestLogin(t *testing.T) {
	tests := []struct {
		name, answer string
		want         error
	}{
		{"good", "\nlinux 6.12\nroot@node:~# ", nil},
		{"bad", "\nLogin incorrect\nnode login: ", ErrLogin},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keyboard, keys := io.Pipe()
			c, w := talk(t, keys, nil)
			done := make(chan string)
			go func() { done <- guest(w, keyboard, tt.answer) }()
			if err := c.Login(t.Context(), "root", "secret"); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if got := <-done; got != "root\nsecret\n" {
				t.Errorf("typed %q", got)
			}
		})
	}
}

// guest is a getty that accepts any login, and returns what was typed.
func guest(screen io.Writer, keyboard io.Reader, answer string) string {
	var typed strings.Builder
	for _, text := range []string{"Debian\r\n\r\nnode login: ", "Password: "} {
		_, _ = io.WriteString(screen, text)
		buf := make([]byte, 64)
		n, _ := keyboard.Read(buf)
		typed.Write(buf[:n])
	}
	_, _ = io.WriteString(screen, answer)
	return typed.String()
}

func TestTap(t *testing.T) {
	c, w := talk(t, io.Discard, nil)
	var seen bytes.Buffer
	stop := c.Tap(&seen)
	say(t, w, "\x1b[1mraw\n")
	if _, err := c.WaitFor(t.Context(), regexp.MustCompile("^raw")); err != nil {
		t.Fatal(err)
	}
	stop()
	say(t, w, "later\n")
	if _, err := c.WaitFor(t.Context(), regexp.MustCompile("^later")); err != nil {
		t.Fatal(err)
	}
	if seen.String() != "\x1b[1mraw\n" {
		t.Errorf("got %q", seen.String())
	}
}

func TestUntilLeave(t *testing.T) {
	for in, want := range map[string]string{"abc": "abc", "ab\x1dc": "ab", "\x1d": ""} {
		got, leave := untilLeave([]byte(in))
		if string(got) != want || leave != strings.Contains(in, "\x1d") {
			t.Errorf("%q: got %q, %v", in, got, leave)
		}
	}
}
