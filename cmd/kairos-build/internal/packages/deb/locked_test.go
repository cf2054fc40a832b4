// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// An edgeArchive is a signed archive with a server, of the flavor edge. It moves on as
// real ones do: it loses what it no longer lists.
type edgeArchive struct {
	t      *testing.T
	dir    string
	url    string
	key    *openpgp.Entity
	flavor *flavors.Flavor

	mu    sync.Mutex
	asked []string // paths
}

func newEdgeArchive(t *testing.T) *edgeArchive {
	t.Helper()
	key, err := openpgp.NewEntity("Edge", "", "edge@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	a := &edgeArchive{t: t, dir: t.TempDir(), key: key}
	files := http.FileServer(http.Dir(a.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.asked = append(a.asked, r.URL.Path)
		a.mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	a.open()
	return a
}

// open writes the flavor and its keyring, and opens it.
func (a *edgeArchive) open() {
	a.t.Helper()
	var public bytes.Buffer
	if err := a.key.Serialize(&public); err != nil {
		a.t.Fatal(err)
	}
	text := fmt.Sprintf(`name: edge
title: Edge
family: apt
id: debian
release: "13"
base:
  archive:
    mirror: %[1]s/live
    security: %[1]s/security
    snapshot: %[1]s/past
    keyring: edge.pgp
    suites: [trixie]
    components: [main]
packages: [curl]
tools: [grub-common]
models: {generic: {kernel: [linux-image-amd64], cmdline: quiet}}
boot:
  amd64: {packages: [shim-signed], shim: /shim, mok_manager: /mok, grub: /grub, grub_dir: debian, efi_arch: x64}
`, a.url)
	dir := a.t.TempDir()
	file := filepath.Join(dir, "flavor.yaml")
	err := errors.Join(os.WriteFile(file, []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "edge.pgp"), public.Bytes(), 0o644))
	if err == nil {
		a.flavor, err = flavors.Open(file)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// publish makes the archive list all packages in a version, and removes the others. What
// it published stays in the history at the time that a lock of it asks for.
func (a *edgeArchive) publish(version string, date time.Time) {
	a.t.Helper()
	if err := os.RemoveAll(filepath.Join(a.dir, "live")); err != nil {
		a.t.Fatal(err)
	}
	var all strings.Builder
	for stanza := range strings.SplitSeq(strings.TrimSpace(index), "\n\n") {
		name, _, _ := strings.Cut(strings.TrimPrefix(stanza, "Package: "), "\n")
		stanza += "\nVersion: " + version + "\nArchitecture: amd64\n"
		body := smallDeb(a.t, stanza)
		path := fmt.Sprintf("pool/%s_%s_amd64.deb", name, version)
		a.put("live/"+path, body)
		a.put("past/"+date.Add(kept).Format("20060102T150405Z")+"/"+path, body)
		fmt.Fprintf(&all, "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", stanza, path, len(body), sha256.Sum256(body))
	}
	a.put("live/dists/trixie/main/binary-amd64/Packages", []byte(all.String()))
	a.put("live/dists/trixie/InRelease", a.sign(fmt.Sprintf("Codename: trixie\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n",
		date.Format(time.RFC1123), sha256.Sum256([]byte(all.String())), all.Len())))
}

func (a *edgeArchive) put(name string, data []byte) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *edgeArchive) sign(text string) []byte {
	a.t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, a.key.PrivateKey, nil)
	if err == nil {
		_, err = io.WriteString(w, text)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return out.Bytes()
}

// smallDeb is a .deb with a control file and no other file.
func smallDeb(t *testing.T, control string) []byte {
	t.Helper()
	var meta, data bytes.Buffer
	w := tar.NewWriter(&meta)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./control", Mode: 0o644, Size: int64(len(control))})
	if err == nil {
		_, err = io.WriteString(w, control)
	}
	if err := errors.Join(err, w.Close(), tar.NewWriter(&data).Close()); err != nil {
		t.Fatal(err)
	}
	out := bytes.NewBufferString("!<arch>\n")
	for _, m := range []struct {
		name string
		body []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar", meta.Bytes()}, {"data.tar", data.Bytes()}} {
		fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.name, 0, 0, 0, 0o100644, len(m.body))
		out.Write(m.body)
		if len(m.body)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// family is the package family with an empty cache.
func (a *edgeArchive) family() *Packages {
	a.t.Helper()
	p, err := New(Options{Host: fstest.MapFS{}, Cache: a.t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		a.t.Fatal(err)
	}
	return p
}

func (a *edgeArchive) choice() recipes.Choice {
	a.t.Helper()
	c, err := recipes.Choose(a.flavor, recipes.Options{})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *edgeArchive) resolve() *packages.Set {
	a.t.Helper()
	set, err := a.family().Resolve(a.t.Context(), a.choice())
	if err != nil {
		a.t.Fatal(err)
	}
	return set
}

// took returns the requests so far and clears the list.
func (a *edgeArchive) took() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.asked
	a.asked = nil
	slices.Sort(out)
	return out
}

// contents are the keys of inputs, and their streams without that of the base, which
// needs real packages.
func contents(t *testing.T, list []inputs.Source) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, in := range list {
		var stream bytes.Buffer
		if in.Name != recipes.InputBase {
			if err := in.Write(t.Context(), &stream, func(int64, int64) {}); err != nil {
				t.Fatal(err)
			}
		}
		all[in.Name] = fmt.Sprintf("%s%x", in.Key, sha256.Sum256(stream.Bytes()))
	}
	return all
}

// TestLockedWhileTheArchiveMovesOn: the set of a lock gives the same inputs, byte by byte,
// on another machine and after the archive has lost the packages; it reads no index.
// Without the lock the inputs change.
func TestLockedWhileTheArchiveMovesOn(t *testing.T) {
	a := newEdgeArchive(t)
	then := time.Now().Add(-48 * time.Hour).UTC().Truncate(time.Second)
	a.publish("1.0", then)
	before := a.resolve()
	want, facts := contents(t, before.Inputs), before.Facts
	a.took()

	same := a.locked(facts)
	if diff := cmp.Diff(want, contents(t, same.Inputs)); diff != "" {
		t.Errorf("the lock gives other inputs (-resolved +locked):\n%s", diff)
	}
	if asked := a.took(); slices.ContainsFunc(asked, func(p string) bool { return !strings.HasPrefix(p, "/live/pool/") }) || len(asked) != 5 {
		t.Errorf("asked for %v", asked)
	}

	a.publish("2.0", then.Add(24*time.Hour))
	old := a.locked(facts)
	if diff := cmp.Diff(want, contents(t, old.Inputs)); diff != "" || !old.Epoch.Equal(then) {
		t.Errorf("months later the lock gives other inputs, or the time %s and not %s (-then +now):\n%s", old.Epoch, then, diff)
	}
	past := 0
	for _, p := range a.took() {
		if strings.HasPrefix(p, "/past/"+then.Add(kept).Format("20060102T150405Z")+"/pool/") {
			past++
		} else if !strings.HasPrefix(p, "/live/pool/") {
			t.Errorf("asked for %s", p)
		}
	}
	if past != 5 {
		t.Errorf("%d packages came from the history, want 5", past)
	}
	now := a.resolve()
	for name, text := range contents(t, now.Inputs) {
		if text == want[name] {
			t.Errorf("without the lock, %s is as before", name)
		}
	}
	if now.Epoch.Equal(then) {
		t.Error("without the lock, the time is that of before")
	}
}

func (a *edgeArchive) locked(facts packages.Facts) *packages.Set {
	a.t.Helper()
	set, err := a.family().Locked(a.choice(), facts, "lock.yaml")
	if err != nil {
		a.t.Fatal(err)
	}
	return set
}

// TestFacts: a lock gets the signed index with its key, the time of the history, and the
// packages in the order of their installation.
func TestFacts(t *testing.T) {
	a := newEdgeArchive(t)
	then := time.Now().Add(-48 * time.Hour).UTC().Truncate(time.Second)
	a.publish("1.0", then)
	f := a.resolve().Facts
	want := packages.Index{
		Archive: "main", Suite: "trixie", URL: a.url + "/live/dists/trixie/InRelease", Date: then, SHA256: f.Indexes[0].SHA256,
		Key: "Edge <edge@example.org>", Fingerprint: fmt.Sprintf("%X", a.key.PrimaryKey.Fingerprint),
	}
	if diff := cmp.Diff([]packages.Index{want}, f.Indexes); diff != "" || len(want.SHA256) != 64 {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
	if got := f.Snapshots["main"]; !got.Equal(then.Add(24 * time.Hour)) {
		t.Errorf("the history is asked for at %s", got)
	}
	var got []string
	for _, l := range f.Lists {
		line := l.Input + ":"
		for _, p := range l.Packages {
			line += " " + p.Name
		}
		got = append(got, line)
	}
	lists := []string{"base: dash apt", "packages: libcurl curl", "tools: grub-common", "kernel: linux-image-6.12", "bootloader: shim-signed"}
	if diff := cmp.Diff(lists, got); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
	p := f.Lists[1].Packages[1]
	if want := (packages.Package{Name: "curl", Version: "1.0", Arch: "amd64", Archive: "main", Path: "pool/curl_1.0_amd64.deb", Size: p.Size, SHA256: p.SHA256}); p != want || p.Size == 0 || len(p.SHA256) != 64 {
		t.Errorf("got %+v", p)
	}
}

// TestLockedOver: a base image that has some of the packages needs the others alone, in
// batches as without a lock.
func TestLockedOver(t *testing.T) {
	a := newEdgeArchive(t)
	a.publish("1.0", time.Now().Add(-48*time.Hour).UTC())
	before := a.resolve()
	status := []byte("Package: dash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n")
	want, err := before.Over(status)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.locked(before.Facts).Over(status)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, want), contents(t, got)); diff != "" || names(got[0]) != "apt curl libcurl" {
		t.Errorf("inputs (-resolved +locked):\n%s", diff)
	}
}

// TestLockedPackagesThatAreGone: the error names the package, its version and where it
// was looked for.
func TestLockedPackagesThatAreGone(t *testing.T) {
	a := newEdgeArchive(t)
	a.publish("1.0", time.Now().Add(-48*time.Hour).UTC())
	facts := a.resolve().Facts
	a.publish("2.0", time.Now().Add(-24*time.Hour).UTC())
	if err := os.RemoveAll(filepath.Join(a.dir, "past")); err != nil {
		t.Fatal(err)
	}
	set := a.locked(facts)
	err := set.Inputs[1].Write(t.Context(), io.Discard, func(int64, int64) {})
	if !errors.Is(err, packages.ErrGone) || !strings.Contains(err.Error(), "curl 1.0 (lock.yaml) is gone: it is neither at "+a.url+"/live/pool/") || !strings.Contains(err.Error(), " nor at "+a.url+"/past/") {
		t.Errorf("got %v", err)
	}
	facts.Lists[0].Packages[0].Archive = "contrib"
	if _, err := a.family().Locked(a.choice(), facts, "lock.yaml"); err == nil || !strings.Contains(err.Error(), `lock.yaml: package dash: archive "contrib": a package is from the archive main or security`) {
		t.Errorf("got %v", err)
	}
}
