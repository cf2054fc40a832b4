// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// Detected means that a node whose root has one wrong byte never hands that byte
// to a program: it does not come up, or the read fails, or the kernel panics
// because of dm-verity. Wrong data is the one thing that must not come.
const damageTitle = "is detected: the read fails or the node stops, no wrong data"

// verityWords is how Linux speaks about a block that does not match its hash.
var verityWords = regexp.MustCompile(`device-mapper: verity: .*(corrupted|failed)|dm-verity device corrupted|dm-verity device has I/O error`)

// damage flips one byte of a file that no boot reads, on the disk of a node that
// runs, and reads the file.
func damage(ctx context.Context, s *session) {
	begin := time.Now()
	message, err := s.damage(ctx)
	s.record("flipped-byte", damageTitle, time.Since(begin), message, err)
	s.r.progress(*s.results["flipped-byte"])
}

func (s *session) damage(ctx context.Context) (string, error) {
	victim, err := s.r.disk.Victim()
	if err != nil {
		return "", err
	}
	if err := s.fork(ctx); err != nil {
		return "", err
	}
	if err := s.overwrite(ctx, victim.Patch()); err != nil {
		return "", err
	}
	out, err := s.readWhileUp(ctx, victim.File)
	if err != nil {
		return s.stopped(ctx, victim, out, err)
	}
	return readOutcome(victim, out)
}

// panicWords is how Linux begins its last words.
var panicWords = regexp.MustCompile(`Kernel panic - not syncing`)

// inFlight is how long after a panic the read goes on, so that everything that
// the guest has sent before is here, wrong data above all.
const inFlight = 2 * time.Second

// readWhileUp reads a file until its end or the node's. A node that panics tells
// nobody that its connections are gone, but it says so on the console.
func (s *session) readWhileUp(ctx context.Context, file string) (qemu.Output, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	go func() {
		if _, err := s.vm.WaitFor(ctx, panicWords); err == nil {
			time.AfterFunc(inFlight, cancel)
		}
	}()
	return s.client.Run(ctx, "cat", file)
}

// stopped judges a node that went away during the read. The console may be slower
// than the loss of the connection.
func (s *session) stopped(ctx context.Context, v Victim, out qemu.Output, lost error) (string, error) {
	if _, ok := s.said(); !ok {
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := s.vm.WaitFor(short, verityWords)
		lost = errors.Join(lost, err)
	}
	words, _ := s.said()
	return stopOutcome(v, out, words, lost)
}

// stopOutcome judges a read that was lost together with the node, whose words
// about verity are empty when it has not said any.
func stopOutcome(v Victim, out qemu.Output, words string, lost error) (string, error) {
	switch {
	case !v.beginsWith(out.Stdout):
		return "", fmt.Errorf("reading %s gave WRONG DATA before the node went away", v.File)
	case words == "":
		return "", fmt.Errorf("the node went away while %s was read, and not because of dm-verity: %w", v.File, lost)
	}
	return "reading " + v.File + " stops the node: " + words, nil
}

func (s *session) said() (string, bool) {
	if s.vm == nil {
		return "", false
	}
	m, ok := s.vm.Console().Find(verityWords)
	return strings.TrimSpace(m.Text), ok
}

// readOutcome judges a read that came to an end.
func readOutcome(v Victim, out qemu.Output) (string, error) {
	switch {
	case out.Exit != 0 && strings.Contains(out.Stderr, "Input/output error"):
		if !v.beginsWith(out.Stdout) {
			return "", fmt.Errorf("reading %s gave wrong data before it failed", v.File)
		}
		return "reading " + v.File + " fails: Input/output error", nil
	case out.Exit != 0:
		return "", fmt.Errorf("reading %s failed, and not because of dm-verity: %s", v.File, firstOf(out.Stderr))
	case out.Stdout == string(v.Data):
		return "", fmt.Errorf("reading %s gave the right data: the damage at byte %d of the disk was not in its way", v.File, v.Offset)
	}
	return "", fmt.Errorf("reading %s gave WRONG DATA: byte %d of the disk is damaged and nobody noticed", v.File, v.Offset)
}
