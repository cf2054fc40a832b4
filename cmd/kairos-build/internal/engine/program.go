// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/connhelper"
)

// dialOptions are those of builders that are reached through a program: docker,
// podman or kubectl.
func dialOptions(builder string) ([]client.ClientOpt, error) {
	helper, err := connhelper.GetConnectionHelper(builder)
	if helper == nil || err != nil {
		return nil, err
	}
	return []client.ClientOpt{client.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := helper.ContextDialer(ctx, address)
		if err != nil {
			return nil, err
		}
		return &programConn{Conn: conn, words: make(chan struct{})}, nil
	})}, nil
}

// A programConn is a connection through a program. After the program has ended, the
// first read that notices returns the reason, in the program's words. An earlier
// write, or one while the pipes are closed, would only report a broken pipe.
type programConn struct {
	net.Conn
	ended sync.Once
	words chan struct{} // closed when why is final
	why   error         // nil when the program gave no reason
}

// lastWords bounds the wait for the reason of a program that has ended.
const lastWords = 2 * time.Second

// Read keeps the reason for the end of the program. A closed pipe is not a reason:
// the read that saw its end waits for the program, and gets the reason.
func (c *programConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		c.ended.Do(func() {
			if !errors.Is(err, io.EOF) {
				c.why = err
			}
			close(c.words)
		})
	}
	return n, err
}

// Write returns the reason for the end of the program, if it has ended.
func (c *programConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) {
		return n, err
	}
	go io.Copy(io.Discard, struct{ io.Reader }{c}) //nolint:errcheck // Read keeps it; nobody else may be reading yet
	select {
	case <-c.words:
		if c.why != nil {
			err = c.why
		}
	case <-time.After(lastWords):
	}
	return n, err
}
