// SPDX-License-Identifier: Apache-2.0

package signingtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Password is the password of keys that Cosign uses.
const Password = "secret"

// A Cosign is the cosign of a Debian release, in a folder of its own.
type Cosign struct {
	t       *testing.T
	program string
	home    string
}

// FetchCosign fetches cosign of a release from the mirror that apt uses here. It needs a
// network, xz and dpkg-deb.
func FetchCosign(t *testing.T, release string) *Cosign {
	t.Helper()
	mirror := aptMirror(t)
	dir := t.TempDir()
	index := fetched(t, mirror+"/dists/"+release+"/main/binary-amd64/Packages.xz")
	text := output(t, bytes.NewReader(index), "xz", "-dc")
	_, entry, found := strings.Cut("\n\n"+text, "\n\nPackage: cosign\n")
	if !found {
		t.Fatalf("%s has no cosign", release)
	}
	entry, _, _ = strings.Cut(entry, "\n\n")
	data := fetched(t, mirror+"/"+field(t, entry, "Filename"))
	sum := sha256.Sum256(data)
	if want := field(t, entry, "SHA256"); hex.EncodeToString(sum[:]) != want {
		t.Fatalf("cosign of %s is not the one in the index", release)
	}
	file := filepath.Join(dir, "cosign.deb")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, nil, "dpkg-deb", "-x", file, dir)
	t.Logf("%s: cosign %s", release, field(t, entry, "Version"))
	return &Cosign{t, filepath.Join(dir, "usr/bin/cosign"), dir}
}

// aptMirror is Debian's archive in the configuration of this host's apt.
func aptMirror(t *testing.T) string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?m)^(?:URIs:|deb) *(https?://\S+/debian)/?(?:\s|$)`).FindSubmatch(text); m != nil {
			return string(m[1])
		}
	}
	t.Skip("apt here uses no archive of Debian")
	return ""
}

func field(t *testing.T, entry, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `: (\S+)$`).FindStringSubmatch(entry)
	if m == nil {
		t.Fatalf("%q has no %s", entry, name)
	}
	return m[1]
}

func fetched(t *testing.T, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return data
}

func output(t *testing.T, stdin io.Reader, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = stdin
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return string(out)
}

// Run runs cosign without a network beyond this machine, and returns what it says.
func (c *Cosign) Run(args ...string) (string, error) {
	cmd := exec.CommandContext(c.t.Context(), c.program, args...)
	cmd.Env = []string{"HOME=" + c.home, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=" + Password, "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
