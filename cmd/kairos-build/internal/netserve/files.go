// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pin/tftp/v3"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
)

// Limits for neighbours.
const (
	maxConnections = 512              // of HTTP; a machine has one or two
	maxTFTP        = 256              // transfers at a time
	stall          = 60 * time.Second // in which a client must take some bytes
	blockSize      = 1468             // of TFTP: with its headers, one Ethernet frame
)

var errNoFile = errors.New("no such file here")

// A shelf has the files by their names, over TFTP and HTTP alike.
type shelf struct {
	files map[string]netboot.File
	to    *machines
	log   *slog.Logger
	busy  atomic.Int32 // transfers of TFTP
}

// find finds a file by the path that a client sent. It has no file system to get lost in.
func (s *shelf) find(name string) (netboot.File, bool) {
	f, ok := s.files[strings.TrimPrefix(path.Clean("/"+name), "/")]
	return f, ok
}

// ServeHTTP implements http.Handler: GET and HEAD, with ranges.
func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := s.find(r.URL.Path)
	switch {
	case !ok:
		http.Error(w, errNoFile.Error(), http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", contentType(f.Path))
	out := &sender{ResponseWriter: w, control: http.NewResponseController(w)}
	if r.Method == http.MethodGet {
		out.transfer = s.to.begin(addrOf(r.RemoteAddr).Addr(), f.Path, f.Size)
	}
	http.ServeContent(out, r, "", time.Time{}, io.NewSectionReader(f.Data, 0, f.Size))
	out.finish(f.Size)
}

// contentType: UEFI decides by it, or by the ending, what it starts (UEFI 2.10, 24.7.3.1).
func contentType(name string) string {
	switch path.Ext(name) {
	case ".efi":
		return "application/efi"
	case ".ipxe", ".cfg":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// A sender counts the body of a response, and gives up a client that takes nothing.
type sender struct {
	http.ResponseWriter
	control  *http.ResponseController
	transfer *transfer // nil: nothing is counted
	status   int
	sent     int64
	err      error
}

func (s *sender) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *sender) Write(b []byte) (int, error) {
	// Not every writer of a test has a deadline.
	if err := s.control.SetWriteDeadline(time.Now().Add(stall)); err != nil && !errors.Is(err, http.ErrNotSupported) { //nolint:forbidigo // a time limit
		return 0, err
	}
	n, err := s.ResponseWriter.Write(b)
	s.sent += int64(n)
	if s.transfer != nil {
		s.transfer.moved(n)
	}
	if err != nil {
		s.err = err
	}
	return n, err
}

// finish ends the transfer. The context of the request says nothing about it: it ends, too,
// when the time to read the request is over, and the machine still takes the file. A part of a file counts as the file if it reaches its end: a
// client that asks for parts asks for the last one last.
func (s *sender) finish(size int64) {
	if s.transfer == nil {
		return
	}
	content := s.Header().Get("Content-Range")
	whole := s.sent == size || s.status == http.StatusPartialContent && strings.HasPrefix(content, "bytes ") && strings.HasSuffix(content, fmt.Sprintf("-%d/%d", size-1, size))
	switch {
	case s.err != nil:
		s.transfer.end(errors.New("the machine hung up, or took nothing for a minute"))
	case !whole:
		s.transfer.end(fmt.Errorf("the machine asked for %d bytes of it", s.sent))
	default:
		s.transfer.end(nil)
	}
}

// httpServer serves a shelf, with limits for slow and talkative clients.
func (s *shelf) httpServer() *http.Server {
	return &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// tftpServer serves a shelf read-only.
func (s *shelf) tftpServer() *tftp.Server {
	server := tftp.NewServer(s.sendTFTP, nil)
	server.SetBlockSize(blockSize)
	server.SetTimeout(2 * time.Second)
	server.SetRetries(5)
	return server
}

// sendTFTP answers a request to read. What it returns is sent to the client, so the texts are
// short. A panic of a reader must not end the server.
func (s *shelf) sendTFTP(name string, to io.ReaderFrom) (err error) {
	defer func() {
		if bug := recover(); bug != nil {
			err = errors.New("internal error")
			s.to.warn("BUG: TFTP, file %.60q: %v", name, bug)
		}
	}()
	if s.busy.Add(1) > maxTFTP {
		s.busy.Add(-1)
		return errors.New("too many transfers; try again")
	}
	defer s.busy.Add(-1)
	f, ok := s.find(name)
	if !ok {
		return errNoFile
	}
	out, ok := to.(tftp.OutgoingTransfer)
	if !ok {
		return errors.New("internal error")
	}
	peer := out.RemoteAddr()
	out.SetSize(f.Size)
	t := s.to.begin(addrOf(peer.String()).Addr(), f.Path, f.Size)
	_, err = to.ReadFrom(&counted{io.NewSectionReader(f.Data, 0, f.Size), t})
	if err != nil {
		// Many a firmware asks for the size first, and then again for the file.
		t.end(errors.New("the machine ended the transfer"))
		return errors.New("the transfer broke off")
	}
	t.end(nil)
	return nil
}

// counted counts what is read.
type counted struct {
	io.Reader
	to *transfer
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.to.moved(n)
	return n, err
}

// shutdown ends a TFTP server. It does not wait for machines that have vanished.
func shutdown(ctx context.Context, server *tftp.Server) {
	done := make(chan struct{})
	go func() {
		server.Shutdown()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// A limited listener has at most maxConnections connections open.
type limited struct {
	net.Listener
	free chan struct{}
}

func limit(l net.Listener, n int) net.Listener {
	return &limited{l, make(chan struct{}, n)}
}

// Accept closes a connection above the limit at once.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &freed{Conn: c, free: l.free}, nil
		default:
			_ = c.Close() // the next machine may come through
		}
	}
}

// freed gives its place back once.
type freed struct {
	net.Conn
	free   chan struct{}
	closed atomic.Bool
}

func (f *freed) Close() error {
	if f.closed.CompareAndSwap(false, true) {
		<-f.free
	}
	return f.Conn.Close()
}
