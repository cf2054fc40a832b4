// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// bothMirrors are a mirror of k3s and one of k0s, with several releases.
func bothMirrors(t *testing.T) (k3s, k0s *fakeMirror) {
	t.Helper()
	k3s, k0s = newMirror(t), newMirror(t)
	k3s.k3s("v1.33.5+k3s1", "v1.34.1+k3s1", "v1.34.1+k3s3", "v1.35.0-rc1+k3s1", "v1.35.0+k3s1", "v1.36.1+k3s1", "v1.37.0+k3s1")
	k3s.k3sChannels("stable", "v1.34.1+k3s3", "latest", "v1.37.0+k3s1", "testing", "v1.37.0+k3s1", "v1.16-testing", "",
		"v1.33", "v1.33.5+k3s1", "v1.34", "v1.34.1+k3s3", "v1.35", "v1.35.0+k3s1", "v1.36", "v1.36.1+k3s1", "v1.37", "v1.37.0+k3s1")
	k0s.k0s("v1.33.4+k0s.0", "v1.34.1+k0s.0", "v1.34.1+k0s.1", "v1.35.0-rc.0+k0s.0")
	k0s.put("stable.txt", "v1.34.1+k0s.1\n")
	k0s.put("latest.txt", "v1.35.0-rc.0+k0s.0\n")
	k0s.put("versions.json", `[{"version": "head", "title": "head", "aliases": ["main"]}, {"version": "v1.34.1+k0s.0"}, {"version": "v1.34.1+k0s.1", "aliases": ["stable"]}, {"version": "v1.33.4+k0s.0"}]`)
	return k3s, k0s
}

// TestVersions finds each form of a version, in a folder and over HTTP.
func TestVersions(t *testing.T) {
	k3s, k0s := bothMirrors(t)
	addresses := map[release.Distribution][]string{
		release.K3s: {k3s.url(), k3s.url() + "/", k3s.serve(nil).URL},
		release.K0s: {k0s.url(), k0s.serve(nil).URL + "/"},
	}
	for _, tt := range []struct {
		d            release.Distribution
		wanted, want string
	}{
		{release.K3s, "v1.34", "v1.34.1+k3s3"},
		{release.K3s, "1.34", "v1.34.1+k3s3"},
		{release.K3s, "v1.34.1", "v1.34.1+k3s3"}, // +k3s2 is missing
		{release.K3s, "v1.34.1+k3s1", "v1.34.1+k3s1"},
		{release.K3s, "v1.35.0-rc1", "v1.35.0-rc1+k3s1"},
		{release.K3s, "stable", "v1.34.1+k3s3"},
		{release.K3s, "latest", "v1.37.0+k3s1"},
		{release.K0s, "v1.34", "v1.34.1+k0s.1"},
		{release.K0s, "v1.34.1", "v1.34.1+k0s.1"},
		{release.K0s, "1.34.1+k0s.0", "v1.34.1+k0s.0"},
		{release.K0s, "stable", "v1.34.1+k0s.1"},
		{release.K0s, "latest", "v1.35.0-rc.0+k0s.0"},
	} {
		t.Run(string(tt.d)+" "+tt.wanted, func(t *testing.T) {
			for _, address := range addresses[tt.d] {
				r, err := find(t, tt.d, tt.wanted, address).Find(t.Context(), "amd64")
				if err != nil {
					t.Errorf("%s: %v", address, err)
				} else if r.Version.String() != tt.want {
					t.Errorf("%s: got %s, want %s", address, r.Version, tt.want)
				}
			}
		})
	}
}

// TestUnknown: the error names the nearest versions and channels.
func TestUnknown(t *testing.T) {
	k3s, k0s := bothMirrors(t)
	for _, tt := range []struct {
		d            release.Distribution
		wanted, want string
	}{
		{release.K3s, "v1.99", "k3s has no channel v1.99: the nearest are v1.37 (v1.37.0+k3s1), v1.36 (v1.36.1+k3s1)"},
		{release.K3s, "v1.32", "k3s has no channel v1.32: the nearest are v1.34 (v1.34.1+k3s3), v1.33 (v1.33.5+k3s1)"},
		{release.K3s, "stabel", `k3s has no channel "stabel"; did you mean "stable"? (there are: latest, stable, testing, v1.33, v1.34, v1.35, v1.36, v1.37)`},
		{release.K3s, "v1.35.7", "there is no k3s v1.35.7: the nearest are v1.37 (v1.37.0+k3s1), v1.36 (v1.36.1+k3s1), v1.35 (v1.35.0+k3s1), v1.34 (v1.34.1+k3s3)"},
		{release.K3s, "v1.34.1+k3s9", "there is no k3s v1.34.1+k3s9: the newest with Kubernetes v1.34.1 is v1.34.1+k3s3"},
		{release.K0s, "v1.20", "k0s has no channel v1.20: the nearest are v1.34 (v1.34.1+k0s.1), v1.33 (v1.33.4+k0s.0)"},
		{release.K0s, "v1.35", "k0s has no channel v1.35: the nearest are v1.34 (v1.34.1+k0s.1), v1.33 (v1.33.4+k0s.0)"}, // it has a release candidate only
		{release.K0s, "v1.33.4+k0s.5", "there is no k0s v1.33.4+k0s.5: the newest with Kubernetes v1.33.4 is v1.33.4+k0s.0"},
	} {
		t.Run(string(tt.d)+" "+tt.wanted, func(t *testing.T) {
			mirror := map[release.Distribution]*fakeMirror{release.K3s: k3s, release.K0s: k0s}[tt.d]
			_, err := find(t, tt.d, tt.wanted, mirror.url()).Find(t.Context(), "amd64")
			if err == nil || err.Error() != tt.want || !errors.Is(err, ErrUnknown) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	_, err := find(t, release.K3s, "v1.34", k3s.url()).Find(t.Context(), "mips")
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), `k3s is not published for architecture "mips": it is for amd64, arm, arm64`) {
		t.Errorf("another architecture: got %v", err)
	}
}

// TestMirrorsWithLittle: exact versions need no channels, and channels of k0s need one
// of their three files. What cannot be found is said.
func TestMirrorsWithLittle(t *testing.T) {
	k3s, k0s := newMirror(t), newMirror(t)
	k3s.k3s("v1.34.1+k3s1")
	k0s.k0s("v1.34.1+k0s.0")
	if _, err := find(t, release.K3s, "v1.34.1", k3s.url()).Find(t.Context(), "amd64"); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		d            release.Distribution
		wanted, want string
	}{
		{release.K3s, "v1.34", "reading the channels of k3s: " + k3s.url() + "/channels: the server has no such file (404 Not Found): try again later, or choose a mirror with --mirror k3s=URL, or name a release, such as v1.34.1+k3s1"},
		{release.K3s, "v1.33.0", "there is no k3s v1.33.0, and its channels cannot be read: "},
		{release.K0s, "v1.34", "reading the channels of k0s: " + k0s.url() + "/versions.json: the server has no such file (404 Not Found): try again later, or choose a mirror with --mirror k0s=URL, or name a release, such as v1.34.1+k0s.1"},
	} {
		mirror := map[release.Distribution]*fakeMirror{release.K3s: k3s, release.K0s: k0s}[tt.d]
		if _, err := find(t, tt.d, tt.wanted, mirror.url()).Find(t.Context(), "amd64"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: got %v, want %q", tt.d, tt.wanted, err, tt.want)
		}
	}
	k3s.k3sChannels("stable", "v1.36.1+k3s1")
	const want = "channel stable of k3s is v1.36.1+k3s1, but "
	if _, err := find(t, release.K3s, "stable", k3s.url()).Find(t.Context(), "amd64"); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "the mirror may be in the middle of an update") {
		t.Errorf("a channel without its release: got %v", err)
	}
	k0s.put("stable.txt", "v1.34.1+k0s.0\n")
	for _, wanted := range []string{"v1.34", "stable"} {
		if r, err := find(t, release.K0s, wanted, k0s.url()).Find(t.Context(), "amd64"); err != nil || r.Version.String() != "v1.34.1+k0s.0" {
			t.Errorf("%s with stable.txt alone: %v, %v", wanted, r, err)
		}
	}
}

// TestFoldersWithDash: some mirrors write - for the +. In URLs, + is escaped.
func TestFoldersWithDash(t *testing.T) {
	m := newMirror(t)
	m.release("v1.34.1-k3s1", "sha256sum-amd64.txt", "  ", "k3s")
	server := m.serve(func(http.ResponseWriter, string, int) bool { return false })
	r, err := find(t, release.K3s, "v1.34.1+k3s1", server.URL).Find(t.Context(), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if want := server.URL + "/v1.34.1-k3s1/k3s"; r.Program.URL != want {
		t.Errorf("got %s, want %s", r.Program.URL, want)
	}
	if want := []string{"/v1.34.1%2Bk3s1/sha256sum-amd64.txt", "/v1.34.1-k3s1/sha256sum-amd64.txt"}; !slices.Equal(server.asked, want) {
		t.Errorf("asked for %v, want %v", server.asked, want)
	}
}

// TestAddressesOfThePublishers: + is escaped in the folder and in the name of the file.
func TestAddressesOfThePublishers(t *testing.T) {
	for _, d := range release.Distributions() {
		from := publisherOf(d)
		folders := from.folders(rebuild(d, "v1.34.1", 1))
		if len(folders) != 1 || !strings.HasPrefix(folders[0], "https://") || strings.Contains(folders[0], "+") || !strings.Contains(folders[0], "%2B") {
			t.Errorf("%s: %v", d, folders)
		}
		if !strings.HasPrefix(from.channels, "https://") {
			t.Errorf("%s: channels at %s", d, from.channels)
		}
	}
}

// TestFaultsOfServers: a server that cannot answer now is asked again, all others are
// named, without their password.
func TestFaultsOfServers(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	text := map[string]string{"page": "<html>please log in</html>", "long": strings.Repeat("x", longest+1)}
	fault := ""
	server := m.serve(func(w http.ResponseWriter, _ string, nth int) bool {
		switch {
		case fault == "busy" && nth <= 2, fault == "dead":
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case fault == "forbidden":
			http.Error(w, "no", http.StatusForbidden)
		case text[fault] != "":
			_, _ = w.Write([]byte(text[fault]))
		default:
			return false
		}
		return true
	})
	address := strings.Replace(server.URL, "http://", "http://ada:geheim@", 1)
	for _, tt := range []struct{ fault, want string }{
		{"busy", ""},
		{"dead", "the server answers 503 Service Unavailable: try again later, or choose a mirror with --mirror k3s=URL; gave up after 4 attempts"},
		{"forbidden", "the server answers 403 Forbidden: try again later, or choose a mirror with --mirror k3s=URL"},
		{"page", `line 1: "<html>please log in</html>" is not a checksum of sha256sum`},
		{"long", "it has more than 4194304 bytes, so it is not what it should be"},
	} {
		fault, server.asked = tt.fault, nil
		_, err := find(t, release.K3s, "v1.34.1+k3s1", address).Find(t.Context(), "amd64")
		if tt.want == "" && err == nil {
			continue
		}
		if err == nil || tt.want == "" || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "geheim") || errors.Is(err, ErrUnknown) {
			t.Errorf("%s: got %v, want %q", tt.fault, err, tt.want)
		}
	}
	server.Close()
	if _, err := find(t, release.K3s, "v1.34.1+k3s1", address).Find(t.Context(), "amd64"); err == nil || !strings.Contains(err.Error(), "connection refused: try again later") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("a server that is not there: %v", err)
	}
}

// TestDamagedChannels: a file that is not about channels is named.
func TestDamagedChannels(t *testing.T) {
	for _, tt := range []struct {
		d                release.Distribution
		file, text, want string
	}{
		{release.K3s, "channels", "<html>", "/channels: it is not the list of channels: "},
		{release.K3s, "channels", `{"data": [{"name": "stable", "latest": "v1.34.1+k0s.0"}]}`, "/channels: it lists no channel"},
		{release.K0s, "stable.txt", "<html>", `/stable.txt: "<html>" is no version of k3s or k0s`},
		{release.K0s, "versions.json", "{}", "/versions.json: it is not the list of releases: "},
	} {
		m := newMirror(t)
		m.put(tt.file, tt.text)
		if _, err := find(t, tt.d, "stable", m.url()).Find(t.Context(), "amd64"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.file, err, tt.want)
		}
	}
}
