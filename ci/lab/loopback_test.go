// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net/http"
	"strings"
	"testing"
)

func TestLoopbackEnds(t *testing.T) {
	l, err := startLoopback(http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func TestLoopbackThatEndsByItself(t *testing.T) {
	l, err := startLoopback(http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.ended(); err == nil {
		t.Fatal("Serve must end with an error")
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("close: got %v, want that the server ended by itself", err)
	}
}
