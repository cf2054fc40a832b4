// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/pin/tftp/v3"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// events keeps what it is told, but not the bytes on their way.
type events struct {
	mu   sync.Mutex
	list []Event
}

func (e *events) Event(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if event.Kind != Moves {
		e.list = append(e.list, event)
	}
}

// told is the events as lines.
func (e *events) told() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, v := range e.list {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", v.Kind, v.Machine, v.File, v.Text)))
	}
	return list
}

// A clock is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func testShelf(once bool) (*shelf, *events, *clock) {
	e, c := &events{}, &clock{time.Unix(1_700_000_000, 0)}
	l := newMachines(e, c.now, []string{netboot.Kernel, netboot.Initrd}, once)
	files := map[string]netboot.File{}
	for name, data := range map[string]string{netboot.Kernel: strings.Repeat("kernel", 1000), netboot.Initrd: "initrd", netboot.GRUBConfig: "script", netboot.Shim("amd64"): "shim"} {
		files[name] = netboot.InMemory(name, []byte(data))
	}
	return &shelf{files: files, to: l, log: slog.New(slog.DiscardHandler)}, e, c
}

func TestHTTP(t *testing.T) {
	for _, c := range []struct {
		name, method, path, ranges string
		status                     int
		body, kind                 string
		told                       string // the last event
	}{
		{"a file", "GET", "/initrd", "", 200, "initrd", "application/octet-stream", "fetched 192.0.2.7 initrd"},
		{"a program", "GET", "/bootx64.efi", "", 200, "shim", "application/efi", "fetched 192.0.2.7 bootx64.efi"},
		{"below a folder", "GET", "/grub/grub.cfg", "", 200, "script", "text/plain; charset=utf-8", "fetched 192.0.2.7 grub/grub.cfg"},
		{"two slashes", "GET", "//initrd", "", 200, "initrd", "application/octet-stream", "fetched 192.0.2.7 initrd"},
		{"only the size", "HEAD", "/initrd", "", 200, "", "application/octet-stream", ""},
		{"a part", "GET", "/initrd", "bytes=1-2", 206, "ni", "application/octet-stream", "broken 192.0.2.7 initrd the machine asked for 2 bytes of it"},
		{"the last part", "GET", "/initrd", "bytes=3-", 206, "trd", "application/octet-stream", "fetched 192.0.2.7 initrd"},
		{"a part that is not there", "GET", "/initrd", "bytes=9-", 416, "invalid range", "text/plain; charset=utf-8", "broken 192.0.2.7 initrd the machine asked for"},
		{"no such file", "GET", "/etc/passwd", "", 404, "no such file here", "text/plain; charset=utf-8", ""},
		{"out of the folder", "GET", "/../../etc/passwd", "", 404, "no such file here", "text/plain; charset=utf-8", ""},
		{"a write", "PUT", "/initrd", "", 405, "only GET and HEAD", "text/plain; charset=utf-8", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, told, _ := testShelf(false)
			r := httptest.NewRequestWithContext(t.Context(), c.method, "http://x"+c.path, nil)
			r.RemoteAddr = "192.0.2.7:1000"
			if c.ranges != "" {
				r.Header.Set("Range", c.ranges)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.body) || w.Header().Get("Content-Type") != c.kind {
				t.Errorf("got %d %q %q", w.Code, w.Body, w.Header().Get("Content-Type"))
			}
			if list := told.told(); c.told == "" && len(list) > 0 || c.told != "" && !strings.HasPrefix(list[len(list)-1], c.told) {
				t.Errorf("told %q", list)
			}
		})
	}
}

// TestBoots: a machine boots when it has everything, under the name of its MAC.
func TestBoots(t *testing.T) {
	s, told, clock := testShelf(true)
	r := parsed(t, ask(t, dhcpv4.MessageTypeDiscover, 0, userClass("iPXE")))
	s.to.seen(r.mac, netip.MustParseAddr("192.0.2.7"))
	for range 3 {
		s.to.answered(r, answers().offer(r))
	}
	for _, name := range []string{"kernel", "initrd"} {
		w := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/"+name, nil)
		req.RemoteAddr = "192.0.2.7:1000"
		if s.to.done(r) {
			t.Errorf("done before it has %s", name)
		}
		s.ServeHTTP(w, req)
	}
	if !s.to.done(r) || s.to.boots() != 1 {
		t.Error("it must not be answered again")
	}
	clock.at = clock.at.Add(time.Minute)
	s.to.done(r)
	const m = "52:54:00:12:34:56"
	want := []string{
		"asks " + m + " http://192.0.2.1/boot.ipxe BIOS with iPXE", "fetch " + m + " kernel", "fetched " + m + " kernel", "fetch " + m + " initrd", "fetched " + m + " initrd", "boots " + m,
		"refused " + m + "  it got its installation already, and starts from its disk; to install it again, start this server again",
		"refused " + m + "  it got its installation already, and starts from its disk; to install it again, start this server again",
	}
	if diff := cmp.Diff(want, told.told()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestManyMachines: a neighbour that makes up machines does not fill the memory, and does not
// make a machine install twice.
func TestManyMachines(t *testing.T) {
	s, _, clock := testShelf(true)
	served := parsed(t, ask(t, dhcpv4.MessageTypeDiscover, 0))
	for _, name := range []string{"kernel", "initrd"} {
		s.to.seen(served.mac, netip.MustParseAddr("192.0.2.7"))
		s.to.begin(netip.MustParseAddr("192.0.2.7"), name, 1).end(nil)
	}
	for i := range 3 * maxMachines {
		clock.at = clock.at.Add(time.Millisecond)
		r := served
		r.mac = fmt.Sprint("m", i)
		s.to.seen(r.mac, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		s.to.answered(r, answers().offer(r))
	}
	if len(s.to.byMAC) > maxMachines || len(s.to.byAddr) > maxMachines {
		t.Errorf("%d machines, %d addresses", len(s.to.byMAC), len(s.to.byAddr))
	}
	if !s.to.done(served) {
		t.Error("the machine that is installed was forgotten")
	}
}

// serveTFTP serves a shelf on a free port of loopback. stop waits for what is being sent.
func serveTFTP(t *testing.T, s *shelf) (address string, stop func()) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := s.tftpServer()
	done := make(chan error, 1)
	go func() { done <- server.Serve(conn) }()
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		shutdown(ctx, server)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return conn.LocalAddr().String(), stop
}

func TestTFTP(t *testing.T) {
	s, told, _ := testShelf(false)
	address, stop := serveTFTP(t, s)
	client, err := tftp.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	client.SetBlockSize(blockSize)
	client.RequestTSize(true)
	file, err := client.Receive("/kernel", "octet")
	if err != nil {
		t.Fatal(err)
	}
	if size, ok := file.(tftp.IncomingTransfer).Size(); !ok || size != 6000 {
		t.Errorf("size %d, %v", size, ok)
	}
	var b bytes.Buffer
	if n, err := file.WriteTo(&b); err != nil || n != 6000 || b.String() != strings.Repeat("kernel", 1000) {
		t.Errorf("got %d bytes: %v", n, err)
	}
	if _, err := client.Receive("../../etc/passwd", "octet"); err == nil || !strings.Contains(err.Error(), "no such file here") {
		t.Errorf("got %v", err)
	}
	if _, err := client.Send("kernel", "octet"); err == nil {
		t.Error("it took a file")
	}
	stop() // the last block's receipt comes after the client has the file
	want := []string{"fetch 127.0.0.1 kernel", "fetched 127.0.0.1 kernel"}
	if diff := cmp.Diff(want, told.told()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTFTPNonsense: the server goes on after packets that make no sense.
func TestTFTPNonsense(t *testing.T) {
	s, _, _ := testShelf(false)
	addr, _ := serveTFTP(t, s)
	conn, err := net.Dial("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, data := range []string{"", "\x00", "\x00\x01", "\x00\x01kernel", "\x00\x01kernel\x00octet", "\x00\x01\x00\x00", "\x00\x09abc", "\x00\x01a\x00octet\x00blksize\x00-1\x00", strings.Repeat("\x00\x01", 300)} {
		if _, err := io.WriteString(conn, data); err != nil {
			t.Fatal(err)
		}
	}
	client, err := tftp.NewClient(addr)
	if err != nil {
		t.Fatal(err)
	}
	file, err := client.Receive("initrd", "octet")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := file.WriteTo(io.Discard); err != nil || n != 6 {
		t.Errorf("got %d bytes: %v", n, err)
	}
}

// FuzzPath: whatever is asked for, only the files of the shelf are found.
func FuzzPath(f *testing.F) {
	for _, name := range []string{"kernel", "/grub/grub.cfg", "../kernel", "grub/../kernel", "\\kernel", "kernel\x00"} {
		f.Add(name)
	}
	s, _, _ := testShelf(false)
	f.Fuzz(func(t *testing.T, name string) {
		file, ok := s.find(name)
		if ok && s.files[file.Path].Data == nil {
			t.Errorf("%q found %q", name, file.Path)
		}
	})
}

// FuzzHTTP: whatever is asked for, a transfer that begins ends, and only bytes of the file
// are sent.
func FuzzHTTP(f *testing.F) {
	f.Add("GET", "/kernel", "bytes=0-1")
	f.Add("GET", "/grub/grub.cfg", "bytes=-3,1-2,5999-")
	f.Add("HEAD", "/../initrd", "bytes=9999999999999999999-")
	f.Fuzz(func(t *testing.T, method, path, ranges string) {
		s, told, _ := testShelf(false)
		r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{"Range": {ranges}}, RemoteAddr: "192.0.2.7:1000"}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		list := told.told()
		if len(list)%2 != 0 {
			t.Errorf("a transfer did not end: %q", list)
		}
		if file, ok := s.find(path); w.Code == http.StatusOK && method == http.MethodGet && (!ok || w.Body.Len() != int(file.Size)) {
			t.Errorf("%q gave %d bytes", path, w.Body.Len())
		}
	})
}

// TestHTTPConnections: above the limit a connection is closed, and one that ends makes room.
func TestHTTPConnections(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, _, _ := testShelf(false)
	server := s.httpServer()
	go func() { _ = server.Serve(limit(l, 1)) }()
	t.Cleanup(func() { _ = server.Close() })
	first, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if status := getOn(t, first); status != "HTTP/1.1 200 OK" {
		t.Errorf("got %q", status)
	}
	second, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if status := getOn(t, second); status != "" {
		t.Errorf("above the limit: %q", status)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for range 100 { // until the server notices
		third, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		status := getOn(t, third)
		_ = third.Close()
		if status != "" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("there is no room after the end of a connection")
}

// getOn asks for a file, and returns the first line of the answer.
func getOn(t *testing.T, conn net.Conn) string {
	t.Helper()
	_, _ = io.WriteString(conn, "GET /initrd HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buffer := make([]byte, 1000)
	n, _ := conn.Read(buffer)
	line, _, _ := strings.Cut(string(buffer[:n]), "\r\n")
	return line
}

// stuckWriter is a client that takes nothing.
type stuckWriter struct{ *httptest.ResponseRecorder }

func (stuckWriter) Write([]byte) (int, error) { return 0, errors.New("i/o timeout") }

func TestStalled(t *testing.T) {
	s, told, _ := testShelf(false)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/kernel", nil)
	r.RemoteAddr = "192.0.2.7:1000"
	s.ServeHTTP(stuckWriter{httptest.NewRecorder()}, r)
	if list := told.told(); len(list) != 2 || list[1] != "broken 192.0.2.7 kernel the machine hung up, or took nothing for a minute" {
		t.Errorf("told %q", list)
	}
}

// TestSlowMachine: a machine that takes a file for longer than requests may take to be read
// has it all the same.
func TestSlowMachine(t *testing.T) {
	s, told, _ := testShelf(false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/initrd", nil)
	r.RemoteAddr = "192.0.2.7:1000"
	s.ServeHTTP(httptest.NewRecorder(), r)
	if list := told.told(); len(list) != 2 || list[1] != "fetched 192.0.2.7 initrd" {
		t.Errorf("told %q", list)
	}
}

// story is what two views are shown.
func story() []Event {
	const m = "52:54:00:12:34:56"
	return []Event{
		{Kind: Serving, Text: "192.0.2.1 on eth0, http://192.0.2.1/"},
		{Kind: Asks, Machine: m, Text: "UEFI x64", File: "bootx64.efi"},
		{Kind: Fetch, Machine: m, File: "kernel", Total: 10, Transfer: 1},
		{Kind: Moves, Machine: m, File: "kernel", Done: 5, Total: 10, Transfer: 1},
		{Kind: Fetched, Machine: m, File: "kernel", Done: 10, Total: 10, Transfer: 1},
		{Kind: Fetch, Machine: m, File: "initrd", Total: 10, Transfer: 2},
		{Kind: Broken, Machine: m, File: "initrd", Text: "the machine hung up", Total: 10, Transfer: 2},
		{Kind: Boots, Machine: m},
		{Kind: Refused, Machine: m, Text: "it is UEFI arm64, and the image is for amd64"},
		{Kind: Warning, Text: "another server answers: 192.0.2.254"},
	}
}

// TestViews: plain lines for a log, and events for a program.
func TestViews(t *testing.T) {
	var plain, lines bytes.Buffer
	reporter, err := progress.New(progress.Plain, &plain, false)
	if err != nil {
		t.Fatal(err)
	}
	steps := NewSteps(reporter)
	jsonLines := NewLines(&lines, func() time.Time { return time.Unix(1_700_000_000, 0) })
	for _, e := range story() {
		steps.Event(e)
		jsonLines.Event(e)
	}
	if err := errors.Join(reporter.Close(), jsonLines.Err()); err != nil {
		t.Error(err)
	}
	golden.Check(t, "testdata/plain.view", plain.String())
	golden.Check(t, "testdata/json.view", lines.String())
}
