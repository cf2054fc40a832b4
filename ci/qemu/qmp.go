// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A QMP is a client of QEMU's machine protocol (docs/interop/qmp-spec.txt): JSON objects
// in both directions, one answer to each command in order, and events in between.
type QMP struct {
	conn    io.ReadWriteCloser
	sending sync.Mutex // one command at a time
	answers chan answer

	mu     sync.Mutex
	events map[string]int // how often each has come
	came   chan struct{}  // closed when an event comes
	ended  error
	gone   chan struct{}
}

type answer struct {
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Error    *QMPError       `json:"error"`
	Event    string          `json:"event"`
}

// A QMPError is QEMU's refusal of a command.
type QMPError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *QMPError) Error() string { return "QEMU answers: " + e.Desc }

// NewQMP reads the greeting from conn and leaves the negotiation mode.
func NewQMP(ctx context.Context, conn io.ReadWriteCloser) (*QMP, error) {
	q := &QMP{conn: conn, answers: make(chan answer, 1), events: map[string]int{}, came: make(chan struct{}), gone: make(chan struct{})}
	go q.read()
	greeting, err := q.next(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting for QEMU's greeting: %w", err)
	}
	if greeting.Greeting == nil {
		return nil, errors.New("waiting for QEMU's greeting: something else came")
	}
	return q, q.Do(ctx, "qmp_capabilities", nil, nil)
}

func (q *QMP) read() {
	decoder := json.NewDecoder(q.conn)
	for {
		var a answer
		if err := decoder.Decode(&a); err != nil {
			q.mu.Lock()
			q.ended = fmt.Errorf("reading from QEMU: %w", err)
			q.mu.Unlock()
			close(q.gone)
			return
		}
		if a.Event != "" {
			q.note(a.Event)
			continue
		}
		select {
		case q.answers <- a:
		default: // the caller no longer waits for this answer
		}
	}
}

func (q *QMP) note(event string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events[event]++
	close(q.came)
	q.came = make(chan struct{})
}

func (q *QMP) next(ctx context.Context) (answer, error) {
	select {
	case a := <-q.answers:
		return a, nil
	default:
	}
	select {
	case a := <-q.answers:
		return a, nil
	case <-q.gone:
		q.mu.Lock()
		defer q.mu.Unlock()
		return answer{}, q.ended
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// Do runs a command. args is its arguments object or nil; result, unless nil, gets the
// answer. If ctx ends during a command, the connection is closed.
func (q *QMP) Do(ctx context.Context, command string, args, result any) error {
	q.sending.Lock()
	defer q.sending.Unlock()
	request, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, args})
	if err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	if _, err := q.conn.Write(append(request, '\n')); err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	a, err := q.next(ctx)
	if err == nil && a.Error != nil {
		err = a.Error
	}
	if err == nil && result != nil {
		err = json.Unmarshal(a.Return, result)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, q.conn.Close())
		}
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	return nil
}

// Events returns how often QEMU has sent the event: RESET, SHUTDOWN, POWERDOWN, …
func (q *QMP) Events(name string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.events[name]
}

// WaitEvents waits until QEMU has sent the event n times.
func (q *QMP) WaitEvents(ctx context.Context, name string, n int) error {
	for {
		q.mu.Lock()
		have, came := q.events[name], q.came
		q.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-came:
		case <-q.gone:
			return q.ended // no longer written
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Human runs a command of the human monitor and returns its output.
func (q *QMP) Human(ctx context.Context, line string) (string, error) {
	var text string
	err := q.Do(ctx, "human-monitor-command", map[string]string{"command-line": line}, &text)
	return text, err
}
