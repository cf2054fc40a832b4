// SPDX-License-Identifier: Apache-2.0

package console

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty makes a terminal: a person sits at the other end.
func pty(t *testing.T) (person *os.File, name string) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return person, fmt.Sprintf("pts/%d", n)
}

func seen(t *testing.T, person *os.File) string {
	t.Helper()
	b := make([]byte, 4096)
	n, err := person.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestAskOnEveryConsole(t *testing.T) {
	first, a := pty(t)
	second, b := pty(t)
	terminals, err := OpenTerminals("/dev", a+" nosuch "+b)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // types what the first one is not asked twice for
		time.Sleep(50 * time.Millisecond)
		_, _ = second.WriteString("correct horse\r")
	}()
	answer, err := terminals.Ask("Passphrase: ", 10*time.Second)
	if err != nil || string(answer) != "correct horse" {
		t.Errorf("got %q, %v", answer, err)
	}
	for _, person := range []*os.File{first, second} {
		if got := seen(t, person); !strings.HasPrefix(got, "Passphrase: ") || strings.Contains(got, "horse") {
			t.Errorf("a console shows %q", got)
		}
	}
	if err := terminals.Close(); err != nil {
		t.Error(err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	person, name := pty(t)
	terminals, err := OpenTerminals("/dev", name)
	if err != nil {
		t.Fatal(err)
	}
	defer terminals.Close()
	if _, err := person.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := terminals.Ask("? ", 50*time.Millisecond); !errors.Is(err, ErrNoAnswer) || time.Since(begin) > 5*time.Second {
		t.Fatalf("got %v after %v", err, time.Since(begin))
	}
	if _, err := person.WriteString(" of it\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := terminals.Ask("? ", 5*time.Second); err != nil || string(answer) != "half of it" {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestNoConsole(t *testing.T) {
	if _, err := OpenTerminals(t.TempDir(), "tty0"); err == nil || !strings.Contains(err.Error(), "there is no console to ask on") {
		t.Errorf("got %v", err)
	}
	if got := ActiveConsoles("/nonexistent"); got != "console" {
		t.Errorf("without the list: %q", got)
	}
}
