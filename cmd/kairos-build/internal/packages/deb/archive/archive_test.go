// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func essential(name, fields string) fakePackage {
	return fakePackage{name, "Essential: yes\nPriority: required\n" + fields}
}

const (
	inRelease  = "/dists/trixie/InRelease"
	tryAnother = "; try again later or choose another with --mirror"
)

func TestOpenResolveFetch(t *testing.T) {
	m := newFakeMirror(t, essential("dash", "Depends: libc6\n"), fakePackage{"libc6", ""}, fakePackage{"zsh", "Depends: libc6\n"})
	o := m.options()
	var last Progress
	a, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := a.Resolve(Request{Extra: []string{"zsh"}})
	if err != nil {
		t.Fatal(err)
	}
	all := append(sel.Base, sel.Extra...)
	paths, err := a.Fetch(t.Context(), all, func(p Progress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		if got, err := os.ReadFile(paths[i]); err != nil || hexOf(got) != p.SHA256 {
			t.Errorf("%s: %v, sha256 %s, want %s", p.Name, err, hexOf(got), p.SHA256)
		}
	}
	if last.Done != last.Total || last.Files != 3 || last.TotalFiles != 3 {
		t.Errorf("the last progress is %+v, want everything done", last)
	}
	if r := a.Releases()[0]; r.Codename != "trixie" || r.URL != m.url+inRelease || len(r.Signer.Fingerprint) != 40 || r.Signer.Name != "Test Archive <test@example.org>" {
		t.Errorf("release is %+v", r)
	}
	if left, err := os.ReadDir(filepath.Join(o.Cache, "partial")); err != nil || len(left) != 0 {
		t.Errorf("partial files left behind: %v %v", left, err)
	}
	m.took()
	checkSecondRun(t, m, o, all)
}

// checkSecondRun checks that a second run only revalidates with the mirror.
func checkSecondRun(t *testing.T, m *fakeMirror, o Options, all []*Package) {
	t.Helper()
	a, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fetch(t.Context(), all, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{inRelease + " 304"}, m.took()); d != "" {
		t.Errorf("requests of a second run: %s", d)
	}
}

func TestFileMirror(t *testing.T) {
	m := newFakeMirror(t, essential("dash", ""))
	dir := t.TempDir()
	for name, body := range m.files {
		file := filepath.Join(dir, "mirror with blank", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, body, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	o := m.options()
	o.Sources[0].Mirror = "file://" + dir + "/mirror with blank"
	a, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := a.Resolve(Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fetch(t.Context(), sel.Base, nil); err != nil {
		t.Fatal(err)
	}
}

func TestOpenErrors(t *testing.T) {
	const gz = "dists/trixie/main/binary-amd64/Packages.gz"
	for _, tt := range []struct {
		name   string
		change func(m *fakeMirror, o *Options)
		kind   error
		want   string
	}{
		{"no signature", func(m *fakeMirror, _ *Options) {
			m.files["dists/trixie/InRelease"] = []byte("<html>log in</html>\n")
		}, ErrSignature, `http://mirror/dists/trixie/InRelease: has no OpenPGP signature: it begins with "<html>log in</html>", want "-----BEGIN PGP SIGNED MESSAGE-----": a proxy or login page may have answered instead of the mirror` + tryAnother},
		{"wrong key", func(m *fakeMirror, o *Options) {
			m.key, o.Keyring = newKey(m.t), publicKey(m.t, m.key)
			m.sign()
		}, ErrSignature, `http://mirror/dists/trixie/InRelease: no signature is good: the one by key FINGERPRINT: signature made by unknown entity; want one by OLDKEY: the file was altered or is not this distribution's` + tryAnother},
		{"altered Release", func(m *fakeMirror, _ *Options) {
			m.files["dists/trixie/InRelease"] = bytes.Replace(m.files["dists/trixie/InRelease"], []byte("Origin: Debian"), []byte("Origin: Debiam"), 1)
		}, ErrSignature, `http://mirror/dists/trixie/InRelease: no signature is good: the one by key FINGERPRINT: invalid signature: EdDSA verification failure; want one by KEYID: the file was altered or is not this distribution's` + tryAnother},
		{"text before the signed part is not used", func(m *fakeMirror, _ *Options) {
			m.files["dists/trixie/InRelease"] = append([]byte("Suite: evil\n"), m.files["dists/trixie/InRelease"]...)
		}, nil, "<no error>"},
		{"expired", func(m *fakeMirror, _ *Options) {
			m.header["Valid-Until"] = now.Add(-time.Hour).Format(time.RFC1123)
			m.sign()
		}, ErrStale, `http://mirror/dists/trixie/InRelease: expired on 2026-11-22 11:00 UTC (this machine's clock says 2026-11-22 12:00 UTC): the mirror is out of date or replays old contents; check the clock` + strings.Replace(tryAnother, ";", ",", 1)},
		{"valid still", func(m *fakeMirror, _ *Options) {
			m.header["Valid-Until"] = now.Add(time.Hour).Format(time.RFC1123)
			m.sign()
		}, nil, "<no error>"},
		{"future", func(m *fakeMirror, _ *Options) {
			m.header["Date"] = now.Add(25 * time.Hour).Format(time.RFC1123)
			m.sign()
		}, ErrStale, `http://mirror/dists/trixie/InRelease: is dated 2026-11-23 13:00 UTC, which is in the future (this machine's clock says 2026-11-22 12:00 UTC): set the clock of this machine`},
		{"suite", func(m *fakeMirror, _ *Options) {
			m.header["Suite"], m.header["Codename"] = "oldstable", "bookworm"
			m.sign()
		}, ErrMismatch, `http://mirror/dists/trixie/InRelease: is the Release of suite "oldstable" (codename "bookworm"), want "trixie": the mirror serves another suite under this name` + tryAnother},
		{"architecture", func(m *fakeMirror, o *Options) { o.Arch = "riscv64" },
			ErrMismatch, `http://mirror/dists/trixie/InRelease: suite trixie has no architecture "riscv64", only all amd64: choose one of them with --arch`},
		{"component", func(m *fakeMirror, o *Options) { o.Components = []string{"main", "nonfree"} },
			ErrMismatch, `http://mirror/dists/trixie/InRelease: lists no nonfree/binary-amd64/Packages.gz, .xz or plain: the suite has no component "nonfree" for amd64`},
		{"date", func(m *fakeMirror, _ *Options) {
			m.header["Date"] = "yesterday"
			m.sign()
		}, ErrMismatch, `http://mirror/dists/trixie/InRelease: is signed, but is no Release file: field Date: "yesterday" is no date: want for example "Sat, 12 Sep 2026 07:55:41 UTC"`},
		{"altered Packages", func(m *fakeMirror, _ *Options) {
			delete(m.header, "Acquire-By-Hash")
			m.sign()
			m.files[gz] = bytes.Replace(m.files[gz], m.files[gz][20:24], []byte("evil"), 1)
		}, ErrMismatch, `http://mirror/dists/trixie/main/binary-amd64/Packages.gz: sha256 is HASH, the signed InRelease says HASH: the mirror is inconsistent or tampered with` + tryAnother},
		{"no Packages", func(m *fakeMirror, _ *Options) {
			for name := range m.files {
				if strings.Contains(name, "binary-amd64") {
					delete(m.files, name)
				}
			}
		}, ErrNotFound, `http://mirror/dists/trixie/main/binary-amd64/Packages.gz: the mirror has no such file (404 Not Found): it may be in the middle of an update, or lack this suite or architecture` + tryAnother},
		{"no suite", func(m *fakeMirror, o *Options) { o.Sources[0].Suite = "nosuch" },
			ErrNotFound, `http://mirror/dists/nosuch/InRelease: the mirror has no such file (404 Not Found): it may be in the middle of an update, or lack this suite or architecture` + tryAnother},
		{"refused", func(m *fakeMirror, o *Options) { o.Sources[0].Mirror = closedPort(m.t) },
			ErrUnreachable, `http://127.0.0.1:PORT/dists/trixie/InRelease: dial tcp 127.0.0.1:PORT: connect: connection refused: the mirror cannot be reached; check the network and proxy settings, or choose another with --mirror`},
		{"DNS", func(m *fakeMirror, o *Options) {
			o.Sources[0].Mirror = "http://mirror.invalid/debian"
			o.Transport = noSuchHost{}
		}, ErrUnreachable, `http://mirror.invalid/debian/dists/trixie/InRelease: host "mirror.invalid" has no address (dial tcp: lookup mirror.invalid: no such host): check the name and this machine's DNS, or choose another mirror with --mirror`},
		{"server error", func(m *fakeMirror, _ *Options) {
			m.wrap = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
		}, ErrUnreachable, `http://mirror/dists/trixie/InRelease: the mirror answers 502 Bad Gateway: try again later or choose another with --mirror`},
		{"forbidden", func(m *fakeMirror, _ *Options) {
			m.wrap = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true }
		}, ErrUnreachable, `http://mirror/dists/trixie/InRelease: the mirror answers 403 Forbidden, want 200: try again later or choose another with --mirror`},
		{"stall", func(m *fakeMirror, o *Options) {
			o.Stall = 50 * time.Millisecond
			m.wrap = func(w http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		}, ErrStalled, `http://mirror/dists/trixie/InRelease: no data came for 50ms: the mirror or the network stalls` + tryAnother},
		{"scheme", func(m *fakeMirror, o *Options) { o.Sources[0].Mirror = "ftp://ftp.example/debian" },
			nil, `mirror address "ftp://ftp.example/debian": want http://, https:// or file:///`},
		{"keyring", func(m *fakeMirror, o *Options) { o.Keyring = nil },
			nil, `the distribution's keyring holds no key`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newFakeMirror(t, essential("dash", ""))
			o := m.options()
			old := keyIDs(mustKeys(t, o.Keyring))
			tt.change(m, &o)
			_, err := Open(t.Context(), o)
			got := m.plainText(err)
			if tt.name == "wrong key" {
				got = strings.ReplaceAll(got, old, "OLDKEY")
			}
			if got = hideNumbers(got); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Errorf("is not of kind %v", tt.kind)
			}
		})
	}
}

func TestStallInTheMiddleOfABody(t *testing.T) {
	m := newFakeMirror(t, essential("dash", ""))
	o := m.options()
	o.Stall = 100 * time.Millisecond
	m.wrap = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/pool/") {
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write([]byte("the .deb of"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}
		return false
	}
	_, err := fetchAll(t, o)
	const want = "http://mirror/pool/main/dash_1.0.deb: no data came for 100ms: the mirror or the network stalls" + tryAnother
	if got := m.plainText(err); got != want || !errors.Is(err, ErrStalled) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestSlowIsNotStalled has a mirror that takes longer than the stall limit, but makes
// only shorter pauses.
func TestSlowIsNotStalled(t *testing.T) {
	m := newFakeMirror(t, essential("dash", ""))
	o := m.options()
	o.Stall, o.Retries = 3*time.Second, -1 // a busy host makes pauses, too
	m.wrap = func(w http.ResponseWriter, r *http.Request) bool {
		body, ok := m.files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok || !strings.HasPrefix(r.URL.Path, "/pool/") {
			return false
		}
		for part := range slices.Chunk(body, 300) {
			_, _ = w.Write(part)
			w.(http.Flusher).Flush()
			time.Sleep(600 * time.Millisecond)
		}
		return true
	}
	if _, err := fetchAll(t, o); err != nil {
		t.Error(err)
	}
}

func TestFetchErrors(t *testing.T) {
	const deb = "pool/main/dash_1.0.deb"
	for _, tt := range []struct {
		name   string
		change func(m *fakeMirror)
		want   string
	}{
		{"truncated", func(m *fakeMirror) { m.files[deb] = m.files[deb][:1000] },
			`http://mirror/pool/main/dash_1.0.deb: is truncated: has 1000 bytes, the verified package index says 2100: the mirror is inconsistent or tampered with` + tryAnother},
		{"altered", func(m *fakeMirror) { m.files[deb] = bytes.ToUpper(m.files[deb]) },
			`http://mirror/pool/main/dash_1.0.deb: sha256 is HASH, the verified package index says HASH: the mirror is inconsistent or tampered with` + tryAnother},
		{"too long", func(m *fakeMirror) { m.files[deb] = append(m.files[deb], make([]byte, 1<<20)...) },
			`http://mirror/pool/main/dash_1.0.deb: has more than the 2100 bytes that the verified package index says: the mirror is inconsistent or tampered with` + tryAnother},
		{"missing", func(m *fakeMirror) { delete(m.files, deb) },
			`http://mirror/pool/main/dash_1.0.deb: the mirror has no such file (404 Not Found): it may be in the middle of an update, or lack this suite or architecture` + tryAnother},
		{"connection cut every time", func(m *fakeMirror) { m.wrap = cutAt(m, deb, 100, 99) },
			`http://mirror/pool/main/dash_1.0.deb: the connection ended before the file did: try again later or choose another with --mirror`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newFakeMirror(t, essential("dash", ""))
			tt.change(m)
			o := m.options()
			paths, err := fetchAll(t, o)
			if got := hideNumbers(m.plainText(err)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if blobs, _ := os.ReadDir(filepath.Join(o.Cache, "blobs")); paths != nil || len(blobs) != 0 {
				t.Errorf("a bad file is in the store: %v", blobs)
			}
		})
	}
}

// cutAt ends the first n answers for a file after some bytes.
func cutAt(m *fakeMirror, name string, after, n int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/"+name || n == 0 {
			return false
		}
		n--
		body := m.files[name]
		w.Header().Set("Content-Length", "2100")
		_, _ = w.Write(body[:after])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestResume(t *testing.T) {
	const deb = "pool/main/dash_1.0.deb"
	for _, tt := range []struct {
		name    string
		partial func(body []byte) []byte
		wrap    func(m *fakeMirror) func(http.ResponseWriter, *http.Request) bool
		want    []string
	}{
		{"after a cut, in one run", nil, func(m *fakeMirror) func(http.ResponseWriter, *http.Request) bool { return cutAt(m, deb, 700, 1) },
			[]string{"/" + deb + " bytes=700- 206"}},
		{"of an earlier run", func(b []byte) []byte { return b[:2000] }, nil, []string{"/" + deb + " bytes=2000- 206"}},
		{"complete already", func(b []byte) []byte { return b }, nil, nil},
		{"of another file", func(b []byte) []byte { return bytes.ToUpper(b[:2000]) }, nil,
			[]string{"/" + deb + " bytes=2000- 206", "/" + deb + " 200"}},
		{"longer than the file", func(b []byte) []byte { return append(b, b...) }, nil, []string{"/" + deb + " 200"}},
		{"where the mirror knows no ranges", func(b []byte) []byte { return b[:2000] }, func(m *fakeMirror) func(http.ResponseWriter, *http.Request) bool {
			return func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false }
		}, []string{"/" + deb + " 200"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newFakeMirror(t, essential("dash", ""))
			o := m.options()
			body := m.files[deb]
			if tt.partial != nil {
				file := filepath.Join(o.Cache, "partial", hexOf(body))
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, tt.partial(bytes.Clone(body)), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.wrap != nil {
				m.wrap = tt.wrap(m)
			}
			paths, err := fetchAll(t, o)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(paths[0]); !bytes.Equal(got, body) {
				t.Error("the file differs from the mirror's")
			}
			var got []string
			for _, r := range m.took() {
				if strings.HasPrefix(r, "/pool/") {
					got = append(got, r)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDamagedCache(t *testing.T) {
	m := newFakeMirror(t, essential("dash", ""))
	o := m.options()
	paths, err := fetchAll(t, o)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, paths[0])
	indexes, err := filepath.Glob(filepath.Join(o.Cache, "index", "*"))
	if err != nil || len(indexes) != 1 {
		t.Fatalf("indexes in the cache: %v %v, want one", indexes, err)
	}
	damage(t, indexes[0])
	if paths, err = fetchAll(t, o); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(paths[0]); !bytes.Equal(got, m.files["pool/main/dash_1.0.deb"]) {
		t.Error("the damaged file was not fetched again")
	}
}

func damage(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTwoAtOnce(t *testing.T) {
	m := newFakeMirror(t, essential("dash", ""), essential("bash", ""))
	o := m.options()
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := fetchAll(t, o)
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	n := 0
	for _, r := range m.took() {
		if strings.HasPrefix(r, "/pool/") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d downloads of two packages, want each once", n)
	}
}

func TestCancel(t *testing.T) {
	m := newFakeMirror(t, essential("dash", ""))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the user")
	m.wrap = func(_ http.ResponseWriter, r *http.Request) bool {
		cancel(stop)
		<-r.Context().Done()
		return true
	}
	_, err := Open(ctx, m.options())
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
}

func fetchAll(t *testing.T, o Options) ([]string, error) {
	a, err := Open(t.Context(), o)
	if err != nil {
		return nil, err
	}
	sel, err := a.Resolve(Request{})
	if err != nil {
		return nil, err
	}
	return a.Fetch(t.Context(), sel.Base, nil)
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// noSuchHost fails as a resolver does for an unknown name.
type noSuchHost struct{}

func (noSuchHost) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true}}
}
