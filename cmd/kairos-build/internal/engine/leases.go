// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// connectionGrace bounds the wait for the connection of a process that is gone to
// close.
const connectionGrace = 250 * time.Millisecond

// leases is a listener whose open connections keep the child alive, together
// with the parent's lifeline. idle is closed when the last of them is gone;
// from then on no connection is accepted.
type leases struct {
	net.Listener
	idle chan struct{}

	mu     sync.Mutex
	open   int
	parent bool
	ended  bool
}

func newLeases(l net.Listener) *leases {
	return &leases{Listener: l, idle: make(chan struct{}), parent: true}
}

// Accept counts the connection. After the end it closes the connection: the client
// notices that and waits for the lock.
func (l *leases) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.take() {
			return &lease{Conn: conn, leases: l}, nil
		}
		if err := conn.Close(); err != nil {
			return nil, err
		}
	}
}

func (l *leases) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.open++
	return true
}

func (l *leases) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.check()
}

// check ends the leases when none is left; the caller holds mu.
func (l *leases) check() {
	if !l.ended && !l.parent && l.open == 0 {
		l.ended = true
		close(l.idle)
	}
}

// watchParent waits for the parent to close its end of the pipe life, and tells it
// if other connections remain.
func (l *leases) watchParent(life io.Reader, status io.Writer) {
	_, _ = io.Copy(io.Discard, life) // nothing is ever written: this returns when the parent's end is closed
	// The parent's own connection ends at the same moment, but in another
	// goroutine: wait for it.
	for deadline := time.Now().Add(connectionGrace); l.count() > 0 && time.Now().Before(deadline); {
		time.Sleep(connectionGrace / 50)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parent = false
	if l.open > 0 {
		// Nobody reads this if the parent was killed.
		_, _ = fmt.Fprintln(status, statusShared)
	}
	l.check()
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// shut ends the leases even if connections are open.
func (l *leases) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		close(l.idle)
	}
}

// lease is one counted connection.
type lease struct {
	net.Conn
	leases *leases
	once   sync.Once
}

func (c *lease) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leases.give)
	return err
}
