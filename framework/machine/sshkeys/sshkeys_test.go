// SPDX-License-Identifier: Apache-2.0

package sshkeys

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

const (
	key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl one"
	key2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl two"
)

type refused struct{}

func (refused) Error() string { return "404 Not Found" }
func (refused) Refused() bool { return true }

// pages maps a URL to its content: a text, or an error.
type pages map[string]any

func (p pages) Fetch(_ context.Context, url string, use func(io.Reader) error) error {
	switch page := p[url].(type) {
	case string:
		return use(strings.NewReader(page))
	case error:
		return page
	}
	return refused{}
}

func TestRefresh(t *testing.T) {
	s := Store{tree.Root{Dir: t.TempDir(), KeepOwner: true}}
	web := pages{}
	for _, c := range []struct {
		name    string
		page    any
		changed bool
		want    string // the error
		keys    []string
	}{
		{"no network before the first time", errors.New("no route"), false, "no route; no key of it is known", nil},
		{"an unknown name", refused{}, false, "404 Not Found; no key of it is known", nil},
		{"keys", "# mine\n" + key1 + "\r\n\n" + key2 + "\n", true, "", []string{key1, key2}},
		{"the same", key1 + "\n" + key2, false, "", []string{key1, key2}},
		{"no network", errors.New("no route"), false, "no route; its 2 keys of DATE stay", []string{key1, key2}},
		{"gone", refused{}, false, "404 Not Found; its 2 keys of DATE stay", []string{key1, key2}},
		{"empty", "", false, "asking https://github.com/ada.keys: the answer has no key; its 2 keys of DATE stay", []string{key1, key2}},
		{"a page", "<html>", false, "asking https://github.com/ada.keys: line 1 of the answer is no SSH public key; its 2 keys of DATE stay", []string{key1, key2}},
		{"too many", strings.Repeat(key1+"\n", MaxKeys+1), false, "asking https://github.com/ada.keys: the answer has 101 keys, more than 100; its 2 keys of DATE stay", []string{key1, key2}},
		{"too large", strings.Repeat("#\n", MaxBytes), false, "asking https://github.com/ada.keys: the answer has more than 256 KiB; its 2 keys of DATE stay", []string{key1, key2}},
		{"one less", key2, true, "", []string{key2}},
	} {
		web["https://github.com/ada.keys"] = c.page
		changed, err := s.Refresh(t.Context(), web, config.ForgeBases{}, "github:ada")
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), now().Format("2006-01-02"), "DATE")
		}
		if got != c.want || changed != c.changed {
			t.Errorf("%s: changed %v, error %q, want %v, %q", c.name, changed, got, c.changed, c.want)
		}
		keys, missing, err := s.Resolve([]string{key1 + "-own", "github:ada", "gitlab:bob"})
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(append([]string{key1 + "-own"}, c.keys...), keys); diff != "" {
			t.Errorf("%s: keys (-want +got):\n%s", c.name, diff)
		}
		if unknown := len(missing) == 2; unknown != (c.keys == nil) {
			t.Errorf("%s: missing %v", c.name, missing)
		}
	}
}

// TestForges: the addresses of the forges and of their mirrors.
func TestForges(t *testing.T) {
	for _, c := range []struct {
		bases      config.ForgeBases
		entry      string
		want       string
		wantSource bool
	}{
		{config.ForgeBases{}, "github:ada", "https://github.com/ada.keys", true},
		{config.ForgeBases{}, "gitlab:ada", "https://gitlab.com/ada.keys", true},
		{config.ForgeBases{GitHub: "http://127.0.0.1:80"}, "github:ada", "http://127.0.0.1:80/ada.keys", true},
		{config.ForgeBases{GitHub: "http://127.0.0.1:80"}, "gitlab:ada", "https://gitlab.com/ada.keys", true},
		{config.ForgeBases{}, "https://example.org/k?a=b", "https://example.org/k?a=b", true},
		{config.ForgeBases{}, key1, key1, false},
	} {
		if got, ok := c.bases.KeyAddress(c.entry); got != c.want || ok != c.wantSource {
			t.Errorf("%s: got %q, %v", c.entry, got, ok)
		}
	}
}

// TestKeptFile: only root can read the cache file, and a damaged file is an error.
func TestKeptFile(t *testing.T) {
	dir := t.TempDir()
	s := Store{tree.Root{Dir: dir, KeepOwner: true}}
	const source = "https://example.org/k?token=geheim"
	if _, err := s.Refresh(t.Context(), pages{source: key1}, config.ForgeBases{}, source); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, Dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Resolve([]string{source}); err == nil || !strings.Contains(err.Error(), "https://example.org/k:") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v", err)
	}
	if changed, err := s.Refresh(t.Context(), pages{source: key1}, config.ForgeBases{}, source); !changed || err != nil {
		t.Errorf("a damaged file stays: %v, %v", changed, err)
	}
}

func TestWanted(t *testing.T) {
	s := Store{tree.Root{Dir: t.TempDir(), KeepOwner: true}}
	for _, c := range []struct {
		entries []string
		step    bool
		want    []string
	}{
		{[]string{"github:ada"}, true, []string{"github:ada"}},
		{[]string{key1}, false, []string{key1, "github:ada"}},
		{[]string{key2, "github:ada"}, true, []string{key1, "github:ada", key2}},
		{nil, false, []string{"github:ada", key2}},
	} {
		got, err := s.Want("ada", c.entries, c.step)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.entries, diff)
		}
	}
	wanted, err := s.Wanted()
	if diff := cmp.Diff(map[string][]string{"ada": {"github:ada", key2}}, wanted); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(key1 + "\n#\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse([]byte(strings.Join(keys, "\n")))
		if diff := cmp.Diff(keys, again); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
