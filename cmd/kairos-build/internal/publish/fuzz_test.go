// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// FuzzList reads a list of attachments as a registry has it, and adds an entry to it: the
// entry is then in the list once, and adding it again changes nothing.
func FuzzList(f *testing.F) {
	own := v1.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1, Digest: sha256Of([]byte("own"))}
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"x","size":1,"digest":"` + own.Digest.String() + `"}]}`))
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"size":-1,"digest":"sha256:00"},{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		have, err := parseList(data, "the tag")
		if err != nil {
			return
		}
		all, _ := join(have, []v1.Descriptor{own})
		again, added := join(all, []v1.Descriptor{own})
		if added || len(again) != len(all) || len(all) > len(have)+1 {
			t.Errorf("%d entries became %d, then %d", len(have), len(all), len(again))
		}
		if _, err := marshal("application/vnd.oci.image.index.v1+json", v1.IndexManifest{Manifests: all}); err != nil {
			t.Errorf("the list cannot be written: %v", err)
		}
	})
}

// FuzzLocation follows the place at which a registry continues an upload: the credentials
// and the layers go there.
func FuzzLocation(f *testing.F) {
	for _, text := range []string{"/v2/edge/debian/blobs/uploads/1?_state=x", "https://cdn.example/upload", "http://registry.example/x", "//10.0.0.1/x", "https://[::1]/x", "https://127.0.0.1:5000/x", "https://user:secret@cdn.example/x"} {
		f.Add(text)
	}
	from, err := url.Parse("https://registry.example/v2/edge/debian/blobs/uploads/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := &answer{header: http.Header{"Location": {text}}, from: &http.Request{Method: http.MethodPost, URL: from}}
		place, err := a.location()
		if err != nil {
			return
		}
		to, err := url.Parse(place)
		if err != nil || to.Scheme != "https" {
			t.Fatalf("%q leads to %q: %v", text, place, err)
		}
		if err := checkLocation(from, to); err != nil {
			t.Errorf("%q leads to %q: %v", text, place, err)
		}
	})
}

// FuzzRetryAfter waits as a registry asks, and never longer than the longest wait.
func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"3", "0", "-1", "86400", "9223372036854775807", "18446744074", "Wed, 21 Oct 2026 07:28:00 GMT"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := &answer{status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {text}}}
		seconds, err := strconv.Atoi(text)
		want := time.Duration(0)
		if err == nil && seconds > 0 {
			want = longestWait
			if seconds < int(longestWait/time.Second) {
				want = time.Duration(seconds) * time.Second
			}
		}
		if got := a.wait(); got != want {
			t.Errorf("%q waits %v, want %v", text, got, want)
		}
	})
}
