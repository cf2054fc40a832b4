// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// elapsed is the line that the go command prints every three seconds:
// "fuzz: elapsed: 1m3s, execs: 325017 (11336/sec), new interesting: 4 (total: 18)".
var elapsed = regexp.MustCompile(`^fuzz: elapsed: (\S+), execs: ([0-9]+) .*\n$`)

// minutes is what a target prints. It shows one line a minute of it.
type minutes struct {
	name   string
	out    io.Writer
	all    bytes.Buffer // without the lines of progress
	inputs int64        // that were tried
	line   []byte
	next   time.Duration
}

// Write takes whole lines or parts of them.
func (m *minutes) Write(p []byte) (int, error) {
	m.line = append(m.line, p...)
	for {
		i := bytes.IndexByte(m.line, '\n')
		if i < 0 {
			return len(p), nil
		}
		if err := m.take(m.line[:i+1]); err != nil {
			return 0, err
		}
		m.line = m.line[i+1:]
	}
}

func (m *minutes) take(line []byte) error {
	found := elapsed.FindSubmatch(line)
	if found == nil {
		_, err := m.all.Write(line)
		return err
	}
	after, err := time.ParseDuration(string(found[1]))
	if err != nil {
		return fmt.Errorf("the go command says %q: %w", line, err)
	}
	if m.inputs, err = strconv.ParseInt(string(found[2]), 10, 64); err != nil {
		return fmt.Errorf("the go command says %q: %w", line, err)
	}
	if after < m.next {
		return nil
	}
	m.next = after.Truncate(time.Minute) + time.Minute
	_, err = fmt.Fprintf(m.out, "%s: %s", m.name, line)
	return err
}
