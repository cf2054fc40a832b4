// SPDX-License-Identifier: Apache-2.0

// Package console is the log of a program that runs before the system starts: a
// slog.Handler that writes to the kernel's log (/dev/kmsg). From there every line
// reaches every console and, later, the journal.
package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// Kmsg is the kernel's log device. One write is one record.
const Kmsg = "/dev/kmsg"

// maxRecord is the kernel's limit for one record, in bytes, less room for its own
// prefix (PRINTKRB_RECORD_MAX of Linux 6 is 1024, LOG_LINE_MAX before that).
const maxRecord = 976

// priority maps a level to the kernel's. The kernel prints records below its console
// log level: 7 as a rule, 4 with "quiet". So warnings get a level that "quiet" does
// not hide.
func priority(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return 2
	case level >= slog.LevelWarn:
		return 3
	case level >= slog.LevelInfo:
		return 6
	}
	return 7
}

// Handler writes records as "PREFIX: MESSAGE key=value", one for each line of the
// text.
type Handler struct {
	mu     *sync.Mutex
	w      io.Writer
	prefix string
	attrs  string
}

// New returns a handler that writes to w, usually the open Kmsg. Every line begins
// with prefix and a colon.
func New(w io.Writer, prefix string) *Handler {
	return &Handler{mu: new(sync.Mutex), w: w, prefix: prefix}
}

// Enabled implements slog.Handler; debug records are not written.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message + h.attrs
	r.Attrs(func(a slog.Attr) bool {
		text += attr(a)
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	for line := range strings.Lines(text) {
		if err := h.write(priority(r.Level), strings.TrimRight(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) write(priority int, line string) error {
	record := fmt.Sprintf("<%d>%s: %s", priority, h.prefix, line)
	_, err := io.WriteString(h.w, record[:min(len(record), maxRecord)]+"\n")
	return err
}

func attr(a slog.Attr) string {
	value := a.Value.Resolve().String()
	if strings.ContainsAny(value, " \n\"=") {
		value = fmt.Sprintf("%q", value)
	}
	return " " + a.Key + "=" + value
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.attrs += attr(a)
	}
	return &c
}

// WithGroup implements slog.Handler; groups are not shown.
func (h *Handler) WithGroup(string) slog.Handler { return h }

// Open opens Kmsg and lifts its rate limit, which would swallow lines (see
// printk_devkmsg in the kernel's admin guide). When there is no Kmsg, lines go
// to standard error.
func Open() io.Writer {
	kmsg, err := os.OpenFile(Kmsg, os.O_WRONLY, 0)
	if err != nil {
		return os.Stderr
	}
	// The kernel refuses this if its command line sets printk_devkmsg: then the
	// owner wants that setting.
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0o644)
	return kmsg
}
