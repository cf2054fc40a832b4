// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// lockOf is a lock of what a finder finds. Files have their sizes.
func lockOf(t *testing.T, s *setting) Locked {
	t.Helper()
	r, err := s.Find(t.Context(), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Measure(t.Context(), func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	return Locked{Wanted: s.Wanted(), Version: r.Version, Program: r.Program, Images: r.Images}
}

// TestLockedFits: the locked release counts as long as it is one that is asked for.
func TestLockedFits(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	m.k3sChannels("stable", "v1.34.1+k3s1", "latest", "v1.34.1+k3s1")
	l := lockOf(t, find(t, release.K3s, "stable", m.url()))
	if got := find(t, release.K3s, "1.34", "").Flags() + ", " + find(t, release.K0s, "stable", "", airgap).Flags(); got != "--k3s v1.34, --k0s stable --airgap" {
		t.Errorf("flags: %s", got)
	}
	for wanted, fits := range map[string]bool{
		"v1.34": true, "1.34": true, "v1.34.1": true, "v1.34.1+k3s1": true, "stable": true,
		"v1.35": false, "v1.34.2": false, "v1.34.1+k3s2": false, "latest": false,
	} {
		r, err := find(t, release.K3s, wanted, "").Locked(l, "lock.yaml")
		if fits && (err != nil || r.Version != l.Version) {
			t.Errorf("%s: got %v", wanted, err)
		}
		if !fits && (!errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "lock.yaml has k3s v1.34.1+k3s1 (asked for as stable), and --k3s "+wanted+" is asked for")) {
			t.Errorf("%s: got %v", wanted, err)
		}
	}
	_, err := find(t, release.K3s, "v1.34", "", airgap).Locked(l, "lock.yaml")
	if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "lock.yaml has k3s v1.34.1+k3s1 without its images, and --airgap is asked for") {
		t.Errorf("--airgap: got %v", err)
	}
}

// TestLockedFiles: the layer of a locked release is that of the release, without any file
// about channels or checksums. A mirror takes the place of the addresses in the lock.
func TestLockedFiles(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	then := find(t, release.K3s, "v1.34.1+k3s1", m.url(), airgap)
	want := layer(t, then)
	l := lockOf(t, then)
	if l.Program.Size != int64(len(content("k3s", "v1.34.1+k3s1"))) || l.Images == nil || l.Images.Size == 0 {
		t.Errorf("locked %+v, %+v", l.Program, l.Images)
	}
	server := m.serve(func(http.ResponseWriter, string, int) bool { return false })
	if err := os.Rename(filepath.Join(m.dir, "v1.34.1+k3s1"), filepath.Join(m.dir, "v1.34.1-k3s1")); err != nil {
		t.Fatal(err)
	}
	now := find(t, release.K3s, "v1.34", server.URL, airgap)
	r, err := now.Locked(l, "lock.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Inputs(epoch)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := write(t, got[0])
	if errA != nil || string(got[0].Key) != string(want[0].Key) || len(a) == 0 {
		t.Errorf("the layer is another one: %v", errA)
	}
	if asked := strings.Join(server.asked, " "); asked != "/v1.34.1%2Bk3s1/k3s /v1.34.1-k3s1/k3s /v1.34.1%2Bk3s1/k3s-airgap-images-amd64.tar.zst /v1.34.1-k3s1/k3s-airgap-images-amd64.tar.zst" {
		t.Errorf("asked for %s", asked)
	}
	if r.Files()[0].URL != server.URL+"/v1.34.1%2Bk3s1/k3s" || slices.ContainsFunc(r.Files(), func(f File) bool { return f.List != "lock.yaml" }) {
		t.Errorf("files: %+v", r.Files())
	}
	if r, err = find(t, release.K3s, "v1.34", "").Locked(l, "lock.yaml"); err != nil || r.Program.URL != l.Program.URL || r.Images != nil {
		t.Errorf("without a mirror, the program is at %+v, %v", r, err)
	}
}

// TestLockedFileThatIsAnother: it is fetched twice, deleted and refused, and the message
// names the lock.
func TestLockedFileThatIsAnother(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	l := lockOf(t, find(t, release.K3s, "v1.34.1", m.url()))
	evil := strings.Repeat("x", int(l.Program.Size))
	m.put("v1.34.1+k3s1/k3s", evil)
	s := find(t, release.K3s, "v1.34", m.url())
	r, err := s.Locked(l, "lock.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Inputs(epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(t, list[0]); err == nil || !strings.Contains(err.Error(), "sha256 is "+sumOf(evil)+", lock.yaml says "+l.Program.SHA256+": the file was fetched twice, deleted and is not used") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(s.Cache); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
