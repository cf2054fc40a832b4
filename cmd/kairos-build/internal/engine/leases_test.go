// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// pipeListener hands out the server's ends of in-memory connections.
type pipeListener struct {
	net.Listener
	conns chan net.Conn
}

func (l *pipeListener) Accept() (net.Conn, error) { return <-l.conns, nil }

// leaseWorld is a child's leases and the parent's end of the pipe life.
type leaseWorld struct {
	leases *leases
	conns  chan net.Conn
	life   *io.PipeWriter
	status *bytes.Buffer
	told   chan struct{} // watchParent returned
}

func newLeaseWorld() *leaseWorld {
	read, write := io.Pipe()
	w := &leaseWorld{conns: make(chan net.Conn, 1), life: write, status: &bytes.Buffer{}, told: make(chan struct{})}
	w.leases = newLeases(&pipeListener{conns: w.conns})
	go func() {
		defer close(w.told)
		w.leases.watchParent(read, w.status)
	}()
	return w
}

func (w *leaseWorld) connect(t *testing.T) net.Conn {
	t.Helper()
	_, server := net.Pipe()
	w.conns <- server
	conn, err := w.leases.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (w *leaseWorld) parentLeaves(t *testing.T) {
	t.Helper()
	if err := w.life.Close(); err != nil {
		t.Fatal(err)
	}
	<-w.told
}

func (w *leaseWorld) ended() bool {
	select {
	case <-w.leases.idle:
		return true
	case <-time.After(20 * time.Millisecond):
		return false
	}
}

func TestLeasesEndWithTheLast(t *testing.T) {
	w := newLeaseWorld()
	first, second := w.connect(t), w.connect(t)
	closeConn(t, first)
	closeConn(t, first) // twice is once
	w.parentLeaves(t)
	if w.status.String() != statusShared+"\n" {
		t.Errorf("the parent was told %q", w.status)
	}
	if w.ended() {
		t.Fatal("ended while a connection was open")
	}
	closeConn(t, second)
	if !w.ended() {
		t.Error("did not end with the last connection")
	}
}

func TestLeasesEndWithTheParent(t *testing.T) {
	w := newLeaseWorld()
	closeConn(t, w.connect(t))
	if w.ended() {
		t.Fatal("ended while the parent lived")
	}
	w.parentLeaves(t)
	if !w.ended() || w.status.Len() != 0 {
		t.Errorf("ended %v, status %q", w.ended(), w.status)
	}
}

func TestLeasesRefuseAfterTheEnd(t *testing.T) {
	w := newLeaseWorld()
	w.parentLeaves(t)
	client, server := net.Pipe()
	w.conns <- server
	go func() { _, _ = w.leases.Accept() }() // it waits for ever for a connection to accept
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("a connection was accepted after the end")
	}
}

func TestLeasesGiveTheParentsOwnConnectionTime(t *testing.T) {
	w := newLeaseWorld()
	own := w.connect(t)
	time.AfterFunc(connectionGrace/5, func() { _ = own.Close() })
	w.parentLeaves(t)
	if w.status.Len() != 0 || !w.ended() {
		t.Errorf("ended %v, status %q", w.ended(), w.status)
	}
}

func closeConn(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.Close() // closing twice is an error of net.Pipe, not of the lease
}
