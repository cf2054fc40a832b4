// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/crypt"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node"
)

// A terminal is a pseudo-terminal of 80 columns and 24 lines, with a person at it.
type terminal struct {
	person  *os.File // what is typed, and what is shown
	program *os.File
	mu      sync.Mutex
	shown   bytes.Buffer
	seen    int // bytes of shown that wait has passed
}

// newTerminal opens a pseudo-terminal, see pty(7).
func newTerminal(t *testing.T) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: no pseudo-terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	tty := &terminal{person: person, program: program}
	go func() { _, _ = io.Copy(tty, person) }() // ends when the terminal is closed
	t.Cleanup(func() { _, _ = program.Close(), person.Close() })
	return tty
}

func (tty *terminal) Write(p []byte) (int, error) {
	tty.mu.Lock()
	defer tty.mu.Unlock()
	return tty.shown.Write(p)
}

// wait waits until the program shows text.
func (tty *terminal) wait(t *testing.T, text string) {
	t.Helper()
	for range 600 {
		tty.mu.Lock()
		at := bytes.Index(tty.shown.Bytes()[tty.seen:], []byte(text))
		if at >= 0 {
			tty.seen += at + len(text)
		}
		tty.mu.Unlock()
		if at >= 0 {
			time.Sleep(50 * time.Millisecond) // a form is drawn before it takes keys
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%q is not shown; this is:\n%s", text, tty.all())
}

func (tty *terminal) all() string {
	tty.mu.Lock()
	defer tty.mu.Unlock()
	return tty.shown.String()
}

// A step is what a person waits for, and the keys then.
type step struct{ shown, keys string }

func (tty *terminal) answer(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		tty.wait(t, s.shown)
		if _, err := io.WriteString(tty.person, s.keys); err != nil {
			t.Fatal(err)
		}
	}
}

// formSteps and lineSteps answer the same.
func formSteps() []step {
	return []step{
		{"Which disk?", "\r"},
		{"Name of the node", "\x15edge-3\r"}, {"User who may log in", "\r"},
		{"Password", "geheim\r"}, {"once more", "geheim\r"}, {"SSH public key", "\r"},
		{"Role in Kubernetes", "\x1b[B"}, {"> k3s server", "\x1b[B"}, {"> k3s agent", "\r"},
		{"Address of a server", "https://192.0.2.10:6443\r"}, {"Token of the cluster", "a-long-secret\r"},
		{"Everything on this disk is lost", ""}, {"edge-3; kairos may log in; k3s-agent", "y"},
	}
}

func lineSteps() []step {
	return []step{
		{"number of the disk to install to: ", "1\r"},
		{"name of the node [kairos]: ", "edge-3\r"}, {"user who may log in [kairos]: ", "\r"},
		{"password (empty: only SSH keys): ", "geheim\r"}, {"once more: ", "geheim\r"}, {"SSH public key", "\r"},
		{"role in Kubernetes [1]: ", "3\r"}, {"address of a server", "192.0.2.10\r"}, {"write it such as https://", ""},
		{"address of a server", "https://192.0.2.10:6443\r"}, {"token of the cluster: ", "\r"}, {"a server has it in", ""},
		{"token of the cluster: ", "a-long-secret\r"},
		{"node    edge-3; kairos may log in; k3s-agent", ""}, {"Type yes to install [no]: ", "yes\r"},
	}
}

// TestTerminals: a person at a real terminal installs to a disk, with forms and line by
// line, and the config on the disk is what was answered.
func TestTerminals(t *testing.T) {
	for _, c := range []struct {
		name, term string
		args       []string
		steps      []step
	}{
		{"forms", "vt100", nil, formSteps()},
		{"forms with colours", "xterm-256color", nil, formSteps()},
		{"a dumb terminal", "dumb", nil, lineSteps()},
		{"plain", "vt100", []string{"--plain"}, lineSteps()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TERM", c.term)
			dir, tty := liveNode(t), newTerminal(t)
			put(t, dir, "usr/lib/kairos/kubernetes", "v1.34.1+k3s1\n")
			p := &program{node: node.Node{Log: slog.New(slog.DiscardHandler)}, stdin: tty.program, stdout: tty.program, stderr: tty.program}
			p.node.Root, p.node.Stdout, p.node.Stderr = tree.Root{Dir: dir, KeepOwner: true}, tty.program, tty.program
			code := make(chan int, 1)
			go func() { code <- p.run(t.Context(), append([]string{"interactive-install"}, c.args...)) }()
			tty.answer(t, c.steps)
			if got := <-code; got != 0 {
				t.Fatalf("the exit status is %d:\n%s", got, tty.all())
			}
			tty.wait(t, "written and read back in")
			wantAnswers(t, oemFile(t, filepath.Join(dir, "dev/sda"), "90_custom.yaml"))
			if strings.Contains(tty.all(), "geheim") {
				t.Error("the password was shown")
			}
			if path := os.Getenv("KAIROS_SCREENS"); path != "" {
				put(t, path, c.name+".txt", tty.all())
			}
		})
	}
}

func wantAnswers(t *testing.T, text string) {
	t.Helper()
	c, problems := config.Decode("a.yaml", []byte(text))
	if len(problems) > 0 || c.Hostname != "edge-3" || len(c.Users) != 1 || !crypt.Matches(c.Users[0].Password, "geheim") {
		t.Errorf("%s\n%s", text, problems.Error())
	}
	k := c.K3sAgent
	if k.Enabled == nil || !*k.Enabled || len(k.Env) != 1 || len(k.Args) != 1 || c.K3s.Enabled != nil ||
		k.Env[0].Name != "K3S_TOKEN" || k.Env[0].Value.Text != "a-long-secret" || k.Args[0].Text != "--server=https://192.0.2.10:6443" {
		t.Errorf("Kubernetes is\n%s", text)
	}
}
