// SPDX-License-Identifier: Apache-2.0

// Package damaged flips one byte of the root on the disk of a running node. The node
// must never hand that byte to a program: the read fails, or the kernel panics because
// of dm-verity.
package damaged

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

// Title is the title of the only check. Any outcome but wrong data is allowed, if
// dm-verity is the reason.
const Title = "is detected: the read fails or the node stops, no wrong data"

// verityWords matches the kernel's messages about a block that does not match its hash.
var verityWords = regexp.MustCompile(`device-mapper: verity: .*(corrupted|failed)|dm-verity device corrupted|dm-verity device has I/O error`)

// Tell flips one byte of a file that no boot reads, on the disk of a running node, and
// reads the file.
func Tell(ctx context.Context, m *lab.Machine) {
	begin := time.Now()
	message, err := flip(ctx, m)
	m.Conclude("flipped-byte", Title, time.Since(begin), message, err)
}

func flip(ctx context.Context, m *lab.Machine) (string, error) {
	victim, err := m.Lab.Artifact.Victim()
	if err != nil {
		return "", err
	}
	if err := m.Fork(ctx); err != nil {
		return "", err
	}
	if err := m.Overwrite(ctx, victim.Patch()); err != nil {
		return "", err
	}
	out, err := readWhileUp(ctx, m, victim.File)
	if err != nil {
		return stopped(ctx, m, victim, out, err)
	}
	return readOutcome(victim, out)
}

// panicWords begins the kernel's message about a panic.
var panicWords = regexp.MustCompile(`Kernel panic - not syncing`)

// inFlight is how long the read goes on after a panic, so that all data that the guest
// sent before arrives, wrong data above all.
const inFlight = 2 * time.Second

// readWhileUp reads a file to its end, or until the node ends. A node that panics does
// not close its connections, but the console shows the panic.
func readWhileUp(ctx context.Context, m *lab.Machine, file string) (qemu.Output, error) {
	ctx, cancel := qemu.WithTimeout(ctx, lab.CheckTimeout)
	defer cancel()
	go func() {
		if _, err := m.VM.WaitFor(ctx, panicWords); err == nil {
			time.AfterFunc(inFlight, cancel)
		}
	}()
	return m.Client.Run(ctx, "cat", file)
}

// stopped judges a node that went away during the read. The console may lag behind the
// loss of the connection.
func stopped(ctx context.Context, m *lab.Machine, v lab.Victim, out qemu.Output, lost error) (string, error) {
	if _, ok := said(m); !ok {
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := m.VM.WaitFor(short, verityWords)
		lost = errors.Join(lost, err)
	}
	words, _ := said(m)
	return stopOutcome(v, out, words, lost)
}

// stopOutcome judges a read that ended with the node. words are the node's message about
// verity, or empty.
func stopOutcome(v lab.Victim, out qemu.Output, words string, lost error) (string, error) {
	switch {
	case !v.BeginsWith(out.Stdout):
		return "", fmt.Errorf("reading %s gave WRONG DATA before the node went away", v.File)
	case words == "":
		return "", fmt.Errorf("the node went away while %s was read, and not because of dm-verity: %w", v.File, lost)
	}
	return "reading " + v.File + " stops the node: " + words, nil
}

func said(m *lab.Machine) (string, bool) {
	if m.VM == nil {
		return "", false
	}
	found, ok := m.VM.Console().Find(verityWords)
	return strings.TrimSpace(found.Text), ok
}

// readOutcome judges a read that the node survived.
func readOutcome(v lab.Victim, out qemu.Output) (string, error) {
	switch {
	case out.Exit != 0 && strings.Contains(out.Stderr, "Input/output error"):
		if !v.BeginsWith(out.Stdout) {
			return "", fmt.Errorf("reading %s gave wrong data before it failed", v.File)
		}
		return "reading " + v.File + " fails: Input/output error", nil
	case out.Exit != 0:
		return "", fmt.Errorf("reading %s failed, and not because of dm-verity: %s", v.File, lab.FirstOf(out.Stderr))
	case out.Stdout == string(v.Data):
		return "", fmt.Errorf("reading %s gave the right data: the damage at byte %d of the disk was not in its way", v.File, v.Offset)
	}
	return "", fmt.Errorf("reading %s gave WRONG DATA: byte %d of the disk is damaged and nobody noticed", v.File, v.Offset)
}
