// SPDX-License-Identifier: Apache-2.0

package inputs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	blobs, err := local.NewStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, blobs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestAddWritesOnce(t *testing.T) {
	dir := t.TempDir()
	first, err := open(t, dir).Add(t.Context(), "base", "amd64", "k1", text("hello"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := open(t, dir).Add(t.Context(), "base", "amd64", "k1", func(io.Writer) error { return errors.New("written twice") })
	if err != nil {
		t.Fatal(err)
	}
	if first.Cached || !again.Cached || first.Digest != again.Digest || again.Size != 5 {
		t.Errorf("first %+v, again %+v", first, again)
	}
}

func TestAddIsAFunctionOfTheContent(t *testing.T) {
	a, err := open(t, t.TempDir()).Add(t.Context(), "base", "amd64", "k1", text("hello"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(t, t.TempDir()).Add(t.Context(), "base", "amd64", "k2", text("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest != b.Digest {
		t.Errorf("the same content has the digests %s and %s", a.Digest, b.Digest)
	}
}

// TestStoreKey: an input with a time limit of its own is the same in every image, and another one
// is not.
func TestStoreKey(t *testing.T) {
	image, other := time.Unix(1, 0), time.Unix(2, 0)
	plain := Source{Name: "base", Key: []byte("k")}
	own := Source{Name: "toolbox", Key: []byte("k"), Epoch: image}
	if plain.StoreKey(image, "amd64") == plain.StoreKey(other, "amd64") {
		t.Error("the epoch of the image does not count")
	}
	if own.StoreKey(image, "amd64") != own.StoreKey(other, "amd64") {
		t.Error("the epoch of the image counts for an input that has its own")
	}
	if own.StoreKey(image, "amd64") == own.StoreKey(image, "arm64") {
		t.Error("the architecture does not count")
	}
	if changed := (Source{Key: []byte("l")}); changed.StoreKey(image, "amd64") == plain.StoreKey(image, "amd64") {
		t.Error("the key does not count")
	}
}

func TestAFailedWriteIsNotRemembered(t *testing.T) {
	s := open(t, t.TempDir())
	broken := errors.New("broken pipe")
	if _, err := s.Add(t.Context(), "base", "amd64", "k", func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			return err
		}
		return broken
	}); !errors.Is(err, broken) {
		t.Fatalf("got %v, want the writer's error", err)
	}
	in, err := s.Add(t.Context(), "base", "amd64", "k", text("whole"))
	if err != nil || in.Cached {
		t.Errorf("got %+v, %v: want a new input", in, err)
	}
}

// TestALostBlobIsWrittenAgain removes blobs behind the store's back.
func TestALostBlobIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Add(t.Context(), "base", "amd64", "k", text("hello")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	in, err := open(t, dir).Add(t.Context(), "base", "amd64", "k", text("hello"))
	if err != nil || in.Cached {
		t.Errorf("got %+v, %v: want it written again", in, err)
	}
}

func TestOldGenerationsGo(t *testing.T) {
	dir := t.TempDir()
	for i := range generations + 2 {
		key, s := fmt.Sprintf("k%d", i), open(t, dir)
		if _, err := s.Add(t.Context(), "base", "amd64", key, text(key)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-generations-2) * time.Minute)
		if err := os.Chtimes(s.keyFile("base", key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := filepath.Glob(filepath.Join(dir, "keys", "base@*"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != generations || len(blobs) != 3*generations {
		t.Errorf("%d keys and %d blobs are left, want %d and %d", len(keys), len(blobs), generations, 3*generations)
	}
}

// TestHeldInputsStay: other builds add so many generations that those of a build that still
// runs would go, also one that it found and did not add.
func TestHeldInputsStay(t *testing.T) {
	dir := t.TempDir()
	add := func(s *Store, key string) Input {
		t.Helper()
		in, err := s.Add(t.Context(), "base", "amd64", key, text(key))
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	there := func(in Input) bool {
		_, err := open(t, dir).Info(t.Context(), in.Digest)
		return err == nil
	}
	first := open(t, dir)
	add(first, "found")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	running := open(t, dir)
	found, added := add(running, "found"), add(running, "added")
	for i := range generations + 2 {
		other := open(t, dir)
		add(other, fmt.Sprintf("other%d", i))
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if !there(found) || !there(added) {
			t.Fatalf("after %d other builds: an input of a build that runs is gone", i+1)
		}
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	add(open(t, dir), "last")
	if there(found) || there(added) {
		t.Error("the inputs of a build that ended stay for ever")
	}
}

func TestTreeIsSortedAndTheSameEveryTime(t *testing.T) {
	epoch, own := time.Unix(1700000000, 0), time.Unix(1400000000, 0)
	from := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(from, []byte("from disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []File{
		{Path: "usr/lib/b", Mode: 0o644, Data: []byte("b")},
		{Path: "usr/bin/a", Mode: 0o755, From: from, Time: own},
		{Path: "usr/lib/link", Link: "b"},
	}
	var one, two bytes.Buffer
	if err := Tree(&one, files, epoch); err != nil {
		t.Fatal(err)
	}
	files[0], files[2] = files[2], files[0]
	if err := Tree(&two, files, epoch); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the order of the files changes the stream")
	}
	if at := times(t, one.Bytes()); !at["usr/bin/a"].Equal(own) || !at["usr/lib/b"].Equal(epoch) || !at["usr/bin/"].Equal(epoch) {
		t.Errorf("the times are %v", at)
	}
	want := []string{"usr/ 755 0", "usr/bin/ 755 0", "usr/bin/a 755 9", "usr/lib/ 755 0", "usr/lib/b 644 1", "usr/lib/link 777 0"}
	if diff := cmp.Diff(want, headers(t, &one)); diff != "" {
		t.Error(diff)
	}
}

// times are the times of change of all entries.
func times(t *testing.T, stream []byte) map[string]time.Time {
	t.Helper()
	all := map[string]time.Time{}
	for r := tar.NewReader(bytes.NewReader(stream)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = h.ModTime
	}
}

func headers(t *testing.T, stream io.Reader) []string {
	t.Helper()
	var list []string
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %o %d", h.Name, h.Mode, h.Size))
	}
}
