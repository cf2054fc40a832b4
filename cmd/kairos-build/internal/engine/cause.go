// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// rootCause drops the words that BuildKit's client and gRPC put before every
// error.
func rootCause(err error) error {
	text := err.Error()
	for {
		rest := strings.TrimPrefix(text, "failed to solve: ")
		rest = strings.TrimPrefix(rest, "failed to get status: ")
		rest = strings.TrimPrefix(rest, "failed to receive status: ")
		if strings.HasPrefix(rest, "rpc error: code = ") {
			_, rest, _ = strings.Cut(rest, " desc = ")
		}
		if rest == text || rest == "" {
			break
		}
		text = rest
	}
	if text == err.Error() {
		return err
	}
	return &causeError{text: text, err: err}
}

// causeError wraps err with a shorter text.
type causeError struct {
	text string
	err  error
}

func (e *causeError) Error() string { return e.text }
func (e *causeError) Unwrap() error { return e.err }

// connectionLost reports whether err is gRPC's error for a peer that is gone.
func connectionLost(err error) bool {
	var grpcErr interface{ GRPCStatus() *status.Status }
	if errors.As(err, &grpcErr) {
		return grpcErr.GRPCStatus().Code() == codes.Unavailable
	}
	return false
}

// lastLines returns the last n lines of a log file on one line, for an error message.
func lastLines(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if lines[0] == "" {
		return path + " (empty)"
	}
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}
