// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// connectionGrace is how long a connection of a process that is gone may take
// to be noticed.
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

// Accept counts the connection, or refuses it when the end is decided: the
// client sees it closed and waits for the lock.
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

// check decides the end; the caller holds mu.
func (l *leases) check() {
	if !l.ended && !l.parent && l.open == 0 {
		l.ended = true
		close(l.idle)
	}
}

// watchParent waits for the parent to close its end of life, and tells it
// whether others remain.
func (l *leases) watchParent(life io.Reader, status io.Writer) {
	_, _ = io.Copy(io.Discard, life) // nothing is ever written: this returns at the end of the file
	// The parent's own connection ends in the same moment, but in another
	// goroutine: let it.
	for deadline := time.Now().Add(connectionGrace); l.count() > 0 && time.Now().Before(deadline); {
		time.Sleep(connectionGrace / 50)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parent = false
	if l.open > 0 {
		// The parent may have been killed, then nobody reads this.
		_, _ = fmt.Fprintln(status, statusShared)
	}
	l.check()
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// shut ends the leases whoever still holds one.
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
