// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// lockText is a lock with what choose reads of it.
const lockText = `format: 1
epoch: 2026-11-21T09:15:44Z
indexes:
  - {archive: main, suite: trixie, url: "%[1]s/debian/dists/trixie/InRelease"}
machines:
  - architecture: amd64
    inputs:
      - {input: packages, packages: [dash]}
      - {input: kernel, packages: [apt]}
    packages:
      - {name: dash, version: 1, archive: main, size: 8, sha256: %[2]x, path: pool/dash.deb}
      - {name: apt, version: 1, archive: main, size: 3, sha256: %[3]x, path: pool/apt.deb}
`

// TestFetchLocked: each package of the lock is fetched once, and has its digest.
func TestFetchLocked(t *testing.T) {
	files := map[string]string{"/debian/pool/dash.deb": "the dash", "/debian/pool/apt.deb": "apt"}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprint(w, files[r.URL.Path])
	}))
	defer server.Close()
	c, err := parseLock(fmt.Appendf(nil, lockText, server.URL, sha256.Sum256([]byte("the dash")), sha256.Sum256([]byte("apt"))))
	if err != nil {
		t.Fatal(err)
	}
	if !c.epoch.Equal(time.Date(2026, 11, 21, 9, 15, 44, 0, time.UTC)) || len(c.packages) != 2 || c.packages[0].Name != "apt" || len(c.kernels) != 1 || c.kernels[0] != "apt" {
		t.Fatalf("got %+v", c)
	}
	dir := t.TempDir()
	for range 2 { // the second finds them
		paths, err := c.fetch(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(paths[1]); err != nil || string(data) != "the dash" {
			t.Errorf("got %q, %v", data, err)
		}
	}
	paths, err := c.fetch(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(paths[0], []byte("cut"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.fetch(t.Context(), dir); err != nil || asked != 3 {
		t.Errorf("a damaged download: %v, %d requests, want 3", err, asked)
	}
	files["/debian/pool/apt.deb"] = "evl"
	if _, err := c.fetch(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "/debian/pool/apt.deb: its SHA-256 is ") {
		t.Errorf("an altered package: %v", err)
	}
}

func TestBadInput(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "want a flavor and a folder, got 0 arguments"},
		{[]string{"debian-13", t.TempDir()}, "there is no stand-in for debian-13"},
	} {
		if err := run(t.Context(), tt.args, os.Stdout); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v", tt.args, err)
		}
	}
	for text, want := range map[string]string{
		"form: x\n":   "field form not found",
		"from: x\n":   "lacks from, codename or kernel.from",
		"from: [x]\n": "cannot unmarshal",
		"from: x\ncodename: y\nkernel: {from: z}\npatch: {old: a, new: bc}\n": `"a" and "bc" of patch differ in length`,
	} {
		if _, err := parsePlan("x", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if _, err := parseLock([]byte("epoch: 2026-11-21T09:15:44Z\n")); err == nil || !strings.Contains(err.Error(), "it has no packages") {
		t.Errorf("a lock without packages: %v", err)
	}
}
