// SPDX-License-Identifier: Apache-2.0

// Package labtest helps to test the judges of nodes and disks. It has a node that only
// gives canned answers, and a disk that no machine boots.
package labtest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// A Node is a Runner with answers to command lines. The longest prefix that matches
// wins; a line without one fails.
type Node map[string]qemu.Output

// RunInput implements lab.Runner.
func (n Node) RunInput(_ context.Context, _ string, argv ...string) (qemu.Output, error) {
	line := strings.Join(argv, " ")
	best := "\x00"
	for prefix := range n {
		if strings.HasPrefix(line, prefix) && (best == "\x00" || len(prefix) > len(best)) {
			best = prefix
		}
	}
	if best == "\x00" {
		return qemu.Output{Stderr: argv[0] + ": No such file or directory", Exit: 1}, nil
	}
	return n[best], nil
}

// Says is the output of a program that prints text and succeeds.
func Says(text string) qemu.Output { return qemu.Output{Stdout: text} }

// Fails is the output of a program that fails with these words on stderr.
func Fails(words string) qemu.Output { return qemu.Output{Stderr: words, Exit: 1} }

// A Console has these lines, one a second.
type Console []string

// Find implements lab.Console.
func (c Console) Find(re *regexp.Regexp) (qemu.Match, bool) {
	for i, line := range c {
		if groups := re.FindStringSubmatch(line); groups != nil {
			return qemu.Match{Text: line, Groups: groups, At: time.Unix(int64(i), 0)}, true
		}
	}
	return qemu.Match{}, false
}

// Slots is the status of a node whose slots a and b have these conditions.
func Slots(a, b slot.Condition) qemu.Output {
	return Says(fmt.Sprintf(`{"slots": [{"slot": "a", "condition": %q}, {"slot": "b", "condition": %q}], "next": {"unproven": 0}}`, a, b))
}

// Expect wants no error, or one with these words.
func Expect(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}
