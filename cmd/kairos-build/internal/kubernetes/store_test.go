// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// program is a file as a server has it, with a store to fetch it into.
func program(t *testing.T, server *fakeServer) (*store, File) {
	t.Helper()
	r, err := find(t, release.K3s, "v1.34.1+k3s1", server.URL).Find(t.Context(), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return r.store, r.Program
}

func nothing(int64, int64) {}

// TestSizes: no more is read than the file can have, whether the server says how much it
// sends or not. A file with another size than the lock says is refused.
func TestSizes(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	right := int64(len(content("k3s", "v1.34.1+k3s1")))
	const refused = ": the file was fetched twice, deleted and is not used; the server is inconsistent or tampered with; try again later, or choose a mirror with --mirror k3s=URL"
	for _, tt := range []struct {
		name       string
		size, most int64 // of the File and of the store
		sent       int64 // bytes; zero: the file as it is
		announced  bool  // sent is in the header alone
		want       string
	}{
		{"right size", right, 1, 0, false, ""},
		{"as large as can be", 0, right, 0, false, ""},
		{"too long", right, most, 1 << 20, false, fmt.Sprintf("it has more than the %d bytes that lock.yaml says", right)},
		{"said to be too long", right, most, 5 << 30, true, fmt.Sprintf("it has more than the %d bytes that lock.yaml says", right)},
		{"too short", right, most, 5, false, fmt.Sprintf("it has 5 bytes, lock.yaml says %d", right)},
		{"too long for any release", 0, right - 1, 1 << 20, false, fmt.Sprintf("it has more than %d bytes, so it is no file of a release", right-1)},
		{"said to be too long for any release", 0, most, most + 1, true, "it has more than 4294967296 bytes, so it is no file of a release"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := m.serve(func(w http.ResponseWriter, path string, _ int) bool {
				switch {
				case !strings.HasSuffix(path, "/k3s") || tt.sent == 0:
					return false
				case tt.announced:
					w.Header().Set("Content-Length", fmt.Sprint(tt.sent))
				default:
					w.(http.Flusher).Flush() // so that the size is not announced
					_, _ = io.WriteString(w, strings.Repeat("x", int(tt.sent)))
				}
				return true
			})
			s, f := program(t, server)
			f.Size, f.List, s.most = tt.size, "lock.yaml", tt.most
			var done int64
			_, err := s.fetch(t.Context(), f, func(now, _ int64) { done = now })
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != f.URL+": "+tt.want+refused) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if done > right+1 {
				t.Errorf("%d bytes were read", done)
			}
			if files, _ := filepath.Glob(s.dir + "/*"); (len(files) == 1) != (tt.want == "") {
				t.Errorf("the files %v are left", files)
			}
		})
	}
}

// TestFileThatIsNowhere: the message says what to do.
func TestFileThatIsNowhere(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	server := m.serve(nil)
	s, f := program(t, server)
	f.URL = server.URL + "/none/k3s"
	f.others = []string{server.URL + "/nowhere/k3s"}
	_, err := s.fetch(t.Context(), f, nothing)
	if want := server.URL + "/nowhere/k3s: the server has no such file (404 Not Found): try again later, or choose a mirror with --mirror k3s=URL"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// onWarning calls a function in place of each line of a log.
type onWarning struct {
	slog.Handler
	do func()
}

func (o onWarning) Enabled(context.Context, slog.Level) bool { return true }

func (o onWarning) Handle(context.Context, slog.Record) error {
	o.do()
	return nil
}

// TestDamagedFileThatAnotherProcessRemoves: it is fetched again.
func TestDamagedFileThatAnotherProcessRemoves(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	s, f := program(t, m.serve(nil))
	path, err := s.fetch(t.Context(), f, nothing)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, path)
	removed := false
	s.client.log = slog.New(onWarning{slog.DiscardHandler, func() { removed = os.Remove(path) == nil }})
	if _, err := s.fetch(t.Context(), f, nothing); err != nil || !removed {
		t.Errorf("got %v (removed: %t)", err, removed)
	}
}
