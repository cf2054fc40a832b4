// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

// lockedPackage is a package of a mirror as a lock has it, with a history on the same
// server.
func lockedPackage(t *testing.T, m *fakeMirror, p fakePackage) *Package {
	t.Helper()
	past, err := InHistory(m.url+"/history/", time.Date(2026, 11, 21, 12, 0, 0, 0, time.FixedZone("CET", 3600)), p.filename())
	if err != nil {
		t.Fatal(err)
	}
	return &Package{
		Name: p.name, Version: p.version(), Arch: "amd64", Filename: p.filename(), Size: int64(len(p.body())), SHA256: hexOf(p.body()),
		URL: m.url + "/" + p.filename(), Locked: &Locked{File: "lock.yaml", History: past},
	}
}

const historyPath = "history/20261121T110000Z/"

// TestPool: a locked package comes from the mirror, or else from the history, and no
// index is asked for.
func TestPool(t *testing.T) {
	p := fakePackage{name: "curl", fields: "Version: 8.1\n"}
	for _, tt := range []struct {
		name   string
		change func(m *fakeMirror)
		asked  []string
		want   string
	}{
		{"on the mirror", func(*fakeMirror) {}, []string{"/pool/main/curl_8.1.deb 200"}, ""},
		{"in the history", func(m *fakeMirror) {
			m.files[historyPath+p.filename()] = p.body()
			delete(m.files, p.filename())
		}, []string{"/pool/main/curl_8.1.deb 404", "/" + historyPath + "pool/main/curl_8.1.deb 200"}, ""},
		{"nowhere", func(m *fakeMirror) { delete(m.files, p.filename()) },
			[]string{"/pool/main/curl_8.1.deb 404", "/" + historyPath + "pool/main/curl_8.1.deb 404"},
			"package curl 8.1 (lock.yaml) is gone: it is neither at http://mirror/pool/main/curl_8.1.deb nor at http://mirror/history/20261121T110000Z/pool/main/curl_8.1.deb"},
		{"altered", func(m *fakeMirror) { m.files[p.filename()] = []byte(strings.Repeat("x", len(p.body()))) },
			[]string{"/pool/main/curl_8.1.deb 200", "/pool/main/curl_8.1.deb 200"},
			"http://mirror/pool/main/curl_8.1.deb: sha256 is HASH, lock.yaml says HASH: the mirror is inconsistent or tampered with; try again later or choose another with --mirror; the file was fetched twice, deleted and is not used"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newFakeMirror(t, p)
			locked := lockedPackage(t, m, p)
			tt.change(m)
			o := m.options()
			paths, err := NewPool(o).Fetch(t.Context(), []*Package{locked}, nil)
			if got := hideNumbers(m.plainText(err)); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if diff := cmp.Diff(tt.asked, m.took()); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
			if got := filepath.Join(o.Cache, "blobs", locked.SHA256+".deb"); (err == nil) != slices.Equal(paths, []string{got}) {
				t.Errorf("the package is at %v", paths)
			}
			if got, err := os.ReadDir(filepath.Join(o.Cache, "blobs")); tt.want != "" && (err != nil || len(got) > 0) {
				t.Errorf("the cache has %v, %v", got, err)
			}
		})
	}
}

// TestPoolErrors: a package is gone only if an archive says so. A mirror that does not
// answer is another matter, also where the history is asked for.
func TestPoolErrors(t *testing.T) {
	p := fakePackage{name: "curl"}
	m := newFakeMirror(t, p)
	dead := newFakeMirror(t)
	locked := lockedPackage(t, m, p)
	locked.URL = strings.Replace(dead.url, "127.0.0.1", "127.0.0.1.invalid", 1) + "/" + p.filename()
	if _, err := NewPool(m.options()).Fetch(t.Context(), []*Package{locked}, nil); !errors.Is(err, ErrUnreachable) || errors.Is(err, packages.ErrGone) {
		t.Errorf("got %v", err)
	}
	if asked := m.took(); len(asked) > 0 {
		t.Errorf("the history was asked for %v", asked)
	}
	locked = lockedPackage(t, m, p)
	delete(m.files, p.filename())
	locked.Locked.History = "ftp://history.example/x"
	_, err := NewPool(m.options()).Fetch(t.Context(), []*Package{locked}, nil)
	if !errors.Is(err, packages.ErrGone) || !strings.Contains(err.Error(), "is no longer at "+locked.URL+", and the history of the archive does not answer: ftp://history.example/x") {
		t.Errorf("got %v", err)
	}
	locked.Locked.History = ""
	_, err = NewPool(m.options()).Fetch(t.Context(), []*Package{locked}, nil)
	if !errors.Is(err, packages.ErrGone) || !strings.Contains(err.Error(), "is gone: it is not at "+locked.URL+", and the archive has no history") {
		t.Errorf("got %v", err)
	}
}

// TestHistoryWithOtherContents: a package with a wrong digest is no package that is gone.
func TestHistoryWithOtherContents(t *testing.T) {
	p := fakePackage{name: "curl", fields: "Version: 8.1\n"}
	m := newFakeMirror(t, p)
	m.files[historyPath+p.filename()] = []byte(strings.Repeat("x", len(p.body())))
	delete(m.files, p.filename())
	_, err := NewPool(m.options()).Fetch(t.Context(), []*Package{lockedPackage(t, m, p)}, nil)
	const want = "http://mirror/history/20261121T110000Z/pool/main/curl_8.1.deb: sha256 is HASH, lock.yaml says HASH: the mirror is inconsistent or tampered with; try again later or choose another with --mirror; the file was fetched twice, deleted and is not used"
	if got := hideNumbers(m.plainText(err)); got != want || !errors.Is(err, ErrMismatch) || errors.Is(err, packages.ErrGone) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestInterruptedHistory: Ctrl-C while the history is asked is no package that is gone.
func TestInterruptedHistory(t *testing.T) {
	p := fakePackage{name: "curl"}
	m := newFakeMirror(t, p)
	locked := lockedPackage(t, m, p)
	delete(m.files, p.filename())
	ctx, cancel := context.WithCancel(t.Context())
	m.wrap = func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/history/") {
			return false
		}
		cancel()
		<-r.Context().Done()
		return true
	}
	_, err := NewPool(m.options()).Fetch(ctx, []*Package{locked}, nil)
	if want := "fetching " + locked.Locked.History + ": context canceled"; !errors.Is(err, context.Canceled) || errors.Is(err, packages.ErrGone) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestInHistory: an archive without a history, and a lock without its time, have no
// address.
func TestInHistory(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		history string
		at      time.Time
		want    string
	}{
		{"https://a.example/archive/debian/", at, "https://a.example/archive/debian/20231114T221320Z/pool/a.deb"},
		{"file:///srv/history", at, "file:///srv/history/20231114T221320Z/pool/a.deb"},
		{"", at, ""},
		{"https://a.example", time.Time{}, ""},
	} {
		if got, err := InHistory(tt.history, tt.at, "pool/a.deb"); err != nil || got != tt.want {
			t.Errorf("%q at %v: %q, %v, want %q", tt.history, tt.at, got, err, tt.want)
		}
	}
	if _, err := InHistory("ftp://a.example", at, "x"); err == nil {
		t.Error("ftp was accepted")
	}
}

// TestChooseHistories: flag, then environment, then flavor; one after the other.
func TestChooseHistories(t *testing.T) {
	flavor := Histories{"https://flavor.example/main", "https://flavor.example/security"}
	got, err := ChooseHistories([]string{"http://mirror.example", "snapshot=file:///srv/past/"}, "security=http://s.example snapshot=http://no.example security-snapshot=http://e.example", flavor)
	if want := (Histories{"file:///srv/past", "http://e.example"}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := ChooseHistories(nil, "", flavor); err != nil || got != flavor {
		t.Errorf("got %v, %v", got, err)
	}
	for flag, want := range map[string]string{
		"snapshot=past":            `--mirror: "past" is no mirror`,
		"snapshots=http://a.examp": `--mirror: "snapshots=http://a.examp": there is no archive snapshots=, only security=, snapshot= and security-snapshot=`,
	} {
		if _, err := ChooseHistories([]string{flag}, "", flavor); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", flag, err)
		}
	}
	if _, err := ChooseHistories(nil, "snapshot=x", flavor); err == nil {
		t.Error("a wrong address in the environment was accepted")
	}
}
