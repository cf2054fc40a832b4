// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// fetchBlob returns the bytes of a blob that came, the status, and how reading ended.
func fetchBlob(t *testing.T, r *Registry, repository string, blob v1.Hash) ([]byte, int, error) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/v2/%s/blobs/%s", r.port(), repository, blob), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	return data, answer.StatusCode, err
}

// TestMoods: each mood spoils the largest blob in its way, and nothing else.
func TestMoods(t *testing.T) {
	r, err := StartRegistry(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Watch(image); err != nil {
		t.Fatal(err)
	}
	blobs := map[bool]v1.Layer{} // by whether the moods apply to them
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		blobs[digest == r.large] = l
	}
	read := func(l v1.Layer) ([]byte, v1.Hash) {
		in, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return data, digest
	}
	large, digest := read(blobs[true])
	small, other := read(blobs[false])
	for _, m := range []Mood{HonestName, Lies, Truncates, Dies, Stumbles, Stalls} {
		if err := r.Push(string(m), "v1", image); err != nil {
			t.Fatal(err)
		}
		if got, _, err := fetchBlob(t, r, string(m), other); err != nil || !bytes.Equal(got, small) {
			t.Errorf("a registry that %s spoils a blob that it must not: %v", m, err)
		}
	}
	fetch := func(m Mood) ([]byte, int, error) { return fetchBlob(t, r, string(m), digest) }
	if got, _, err := fetch(HonestName); err != nil || !bytes.Equal(got, large) {
		t.Errorf("honest: %v", err)
	}
	if got, _, err := fetch(Lies); err != nil || len(got) != len(large) || differing(got, large) != 1 {
		t.Errorf("lies: %d of %d bytes, %v", len(got), len(large), err)
	}
	if got, _, err := fetch(Truncates); err != nil || !bytes.Equal(got, large[:len(large)/2]) {
		t.Errorf("truncates: %d of %d bytes, %v; want half of it, as if it were whole", len(got), len(large), err)
	}
	if got, _, err := fetch(Dies); err == nil || len(got) == 0 || len(got) >= len(large) {
		t.Errorf("dies: %d of %d bytes, %v", len(got), len(large), err)
	}
	if _, status, err := fetch(Dies); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("dies, the second time: status %d, %v", status, err)
	}
	if got, _, err := fetch(Stumbles); err == nil || len(got) >= len(large) {
		t.Errorf("stumbles: %d of %d bytes, %v", len(got), len(large), err)
	}
	if got, _, err := fetch(Stumbles); err != nil || !bytes.Equal(got, large) {
		t.Errorf("stumbles, the second time: %d bytes, %v", len(got), err)
	}
	ended := make(chan int, 1)
	go func() {
		got, _, _ := fetch(Stalls)
		ended <- len(got)
	}()
	select {
	case n := <-ended:
		t.Fatalf("stalls: the answer ended after %d bytes", n)
	case <-time.After(100 * time.Millisecond):
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if n := <-ended; n >= len(large) {
		t.Errorf("stalls: %d of %d bytes", n, len(large))
	}
}

// differing counts the bytes that differ.
func differing(a, b []byte) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
