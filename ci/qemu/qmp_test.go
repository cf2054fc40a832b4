// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}` + "\r\n"

// fakeQMP sends first, and answers each command with a line, by the command's name.
func fakeQMP(t *testing.T, first string, answers map[string]string) io.ReadWriteCloser {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		_, _ = io.WriteString(theirs, first)
		lines := bufio.NewScanner(theirs)
		for lines.Scan() {
			var command struct {
				Execute string `json:"execute"`
			}
			if json.Unmarshal(lines.Bytes(), &command) != nil {
				return
			}
			_, _ = io.WriteString(theirs, answers[command.Execute])
		}
	}()
	t.Cleanup(func() { ours.Close() })
	return ours
}

func TestQMP(t *testing.T) {
	conn := fakeQMP(t, greeting, map[string]string{
		"qmp_capabilities":      `{"return": {}}`,
		"human-monitor-command": `{"timestamp": {"seconds": 1}, "event": "RESET"}` + "\n" + `{"return": "te` + `xt\r\n"}` + "\n",
		"nonsense":              `{"error": {"class": "CommandNotFound", "desc": "The command nonsense has not been found"}}`,
	})
	q, err := NewQMP(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	text, err := q.Human(t.Context(), "info usernet")
	if err != nil || text != "text\r\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if q.Events("RESET") != 1 {
		t.Errorf("RESET events: got %d, want 1", q.Events("RESET"))
	}
	var refusal *QMPError
	if err := q.Do(t.Context(), "nonsense", nil, nil); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v, want a QMPError", err)
	}
}

func TestWaitEvents(t *testing.T) {
	reset := `{"timestamp": {"seconds": 1}, "event": "RESET"}` + "\n"
	conn := fakeQMP(t, greeting, map[string]string{
		"qmp_capabilities": reset + `{"return": {}}`,
		"system_reset":     `{"return": {}}` + "\n" + reset,
	})
	q, err := NewQMP(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := q.WaitEvents(short, "RESET", 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the second reset: got %v, want the end of the time", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- q.WaitEvents(t.Context(), "RESET", 2) }()
	if err := q.Do(t.Context(), "system_reset", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("after the second reset: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	long, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := q.WaitEvents(long, "RESET", 3); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("QEMU is gone: got %v, want the end of the connection", err)
	}
}

func TestQMPBroken(t *testing.T) {
	tests := []struct {
		name, first string
		answers     map[string]string
	}{
		{"no greeting", `{"return": {}}`, nil},
		{"not JSON", "hello\n", nil},
		{"silence", greeting, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := NewQMP(ctx, fakeQMP(t, tt.first, tt.answers)); err == nil {
				t.Error("got no error")
			}
		})
	}
}
