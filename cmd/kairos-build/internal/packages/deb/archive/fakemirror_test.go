// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// now is the tests' clock; the fake mirror's Release is a day old.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fakeMirror is a signed archive with one suite, served over HTTP.
type fakeMirror struct {
	t      *testing.T
	url    string
	key    *openpgp.Entity
	header map[string]string // fields of the Release
	files  map[string][]byte // by path below the mirror
	wrap   func(http.ResponseWriter, *http.Request) bool

	mu       sync.Mutex
	requests []string // "GET path [Range] -> status"
}

func newFakeMirror(t *testing.T, packages ...fakePackage) *fakeMirror {
	m := &fakeMirror{t: t, key: newKey(t), files: map[string][]byte{}, header: map[string]string{
		"Origin": "Debian", "Suite": "stable", "Codename": "trixie", "Date": now.Add(-24 * time.Hour).Format(time.RFC1123),
		"Architectures": "all amd64", "Acquire-By-Hash": "yes",
	}}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	m.url = server.URL
	var index bytes.Buffer
	for _, p := range packages {
		index.WriteString(p.stanza())
		m.files[p.filename()] = p.body()
	}
	m.files["dists/trixie/main/binary-amd64/Packages"] = index.Bytes()
	m.files["dists/trixie/main/binary-amd64/Packages.gz"] = gzipped(t, index.Bytes())
	m.sign()
	return m
}

// sign writes the InRelease of the current files.
func (m *fakeMirror) sign() {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m.header)) {
		fmt.Fprintf(&text, "%s: %s\n", k, m.header[k])
	}
	text.WriteString("SHA256:\n")
	const dists = "dists/trixie/"
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		below, ok := strings.CutPrefix(name, dists)
		if !ok || strings.Contains(name, "by-hash") || strings.HasSuffix(name, "InRelease") {
			continue
		}
		fmt.Fprintf(&text, " %s %d %s\n", hexOf(m.files[name]), len(m.files[name]), below)
		m.files[path.Dir(name)+"/by-hash/SHA256/"+hexOf(m.files[name])] = m.files[name]
	}
	m.files[dists+"InRelease"] = clearsigned(m.t, m.key, text.String())
}

func (m *fakeMirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.wrap != nil && m.wrap(w, r) {
		m.note(r, 0)
		return
	}
	body, ok := m.files[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		m.note(r, http.StatusNotFound)
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+hexOf(body)+`"`)
	rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	http.ServeContent(rec, r, "", time.Time{}, bytes.NewReader(body))
	m.note(r, rec.status)
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(code int) {
	s.status = code
	s.ResponseWriter.WriteHeader(code)
}

func (m *fakeMirror) note(r *http.Request, status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, strings.Join(strings.Fields(fmt.Sprintf("%s %s %d", r.URL.Path, r.Header.Get("Range"), status)), " "))
}

// took returns the requests so far and clears the list.
func (m *fakeMirror) took() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.requests
	m.requests = nil
	return out
}

// options are options for the mirror, with short waits.
func (m *fakeMirror) options() Options {
	return Options{
		Sources: []Source{{m.url, "trixie"}}, Arch: "amd64", Keyring: publicKey(m.t, m.key), Cache: m.t.TempDir(), Now: now,
		Stall: 5 * time.Second, Retries: 1, Backoff: time.Millisecond,
	}
}

// plainText replaces the parts of a message that differ from run to run.
func (m *fakeMirror) plainText(err error) string {
	if err == nil {
		return "<no error>"
	}
	return strings.NewReplacer(m.url, "http://mirror", fmt.Sprintf("%016X", m.key.PrimaryKey.KeyId), "KEYID",
		fmt.Sprintf("%X", m.key.PrimaryKey.Fingerprint), "FINGERPRINT").Replace(err.Error())
}

// fakePackage is a package whose .deb is a few bytes of text.
type fakePackage struct {
	name   string
	fields string // further lines of the stanza
}

func (p fakePackage) version() string {
	for line := range strings.Lines(p.fields) {
		if v, ok := strings.CutPrefix(line, "Version: "); ok {
			return strings.TrimSpace(v)
		}
	}
	return "1.0"
}

func (p fakePackage) filename() string {
	return "pool/main/" + p.name + "_" + p.version() + ".deb"
}

func (p fakePackage) body() []byte {
	return bytes.Repeat([]byte("the .deb of "+p.name+" "+p.version()+"\n"), 100)
}

func (p fakePackage) stanza() string {
	s := "Package: " + p.name + "\nArchitecture: amd64\nFilename: " + p.filename() +
		"\nSize: " + fmt.Sprint(len(p.body())) + "\nSHA256: " + hexOf(p.body()) + "\n" + p.fields
	if !strings.Contains(p.fields, "Version:") {
		s += "Version: 1.0\n"
	}
	return s + "\n"
}

func hexOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func newKey(t *testing.T) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Test Archive", "", "test@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now.Add(-48 * time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func publicKey(t *testing.T, e *openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := e.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func clearsigned(t *testing.T, key *openpgp.Entity, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, key.PrivateKey, &packet.Config{Time: func() time.Time { return now.Add(-24 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func mustKeys(t *testing.T, raw []byte) openpgp.EntityList {
	t.Helper()
	keys, err := parseKeyring(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// hideNumbers replaces hashes and ports, which differ from run to run.
func hideNumbers(s string) string {
	s = regexp.MustCompile(`\b[0-9a-f]{64}\b`).ReplaceAllString(s, "HASH")
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(s, "127.0.0.1:PORT")
}
