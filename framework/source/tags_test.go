// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// list answers requests for tags with these pages, each linked to the next.
func list(pages ...string) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/tags/list") {
			return false
		}
		at := 0
		if _, err := fmt.Sscanf(r.URL.Query().Get("last"), "%d", &at); err == nil && at+1 > len(pages) {
			return false
		}
		if at+1 < len(pages) {
			w.Header().Set("Link", fmt.Sprintf(`</v2/edge/node/tags/list?last=%d&n=2>; rel="next"`, at+1))
		}
		_, err := fmt.Fprintf(w, `{"name": "edge/node", "tags": [%s]}`, pages[at])
		return err == nil
	}
}

func tagsOf(f fault) (r func(t *testing.T) ([]string, error)) {
	return func(t *testing.T) ([]string, error) {
		registry := newRegistry(t, largeImage(t), httptest.NewServer)
		registry.during(f)
		return Tags(t.Context(), "oci:"+registry.ref(), quick())
	}
}

func TestTags(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/tags/list") {
			return false
		}
		w.Header().Set("Link", `<?again>; rel="next"`)
		_, err := fmt.Fprintf(w, `{"tags": ["v1"%s]}`, strings.Repeat(`,"v1"`, 50_000))
		return err == nil
	}
	elsewhere := func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			w.Header().Set("Link", `<http://elsewhere.example/v2/edge/node/tags/list>; rel="next"`)
			_, err := fmt.Fprint(w, `{"tags": []}`)
			return err == nil
		}
		return false
	}
	page := func(text string) fault {
		return func(w http.ResponseWriter, r *http.Request) bool {
			_, err := fmt.Fprint(w, text)
			return err == nil && r != nil
		}
	}
	onList := func(f fault) fault {
		return func(w http.ResponseWriter, r *http.Request) bool {
			return strings.HasSuffix(r.URL.Path, "/tags/list") && f(w, r)
		}
	}
	for _, tt := range []struct {
		name  string
		fault fault
		want  []string
		is    error
		says  string
	}{
		{"of a real registry", nil, []string{"v1"}, nil, ""},
		{"in pages", list(`"v1", "v2"`, `"v3"`, ``, `"v4"`), []string{"v1", "v2", "v3", "v4"}, nil, ""},
		{"null", list(`null`), []string{""}, nil, ""},
		{"with a link to the page before", onList(func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Link", `</v2/edge/node/tags/list?last=v0>; rel="prev"`)
			return page(`{"tags": ["v1"]}`)(w, r)
		}), []string{"v1"}, nil, ""},
		{"as long as may be", onList(page(`{"tags": ["v1"` + strings.Repeat(`,"v1"`, maxTags-1) + `]}`)), slices.Repeat([]string{"v1"}, maxTags), nil, ""},
		{"after 503", onList(times(2, status(http.StatusServiceUnavailable))), []string{"v1"}, nil, ""},
		{"that does not end", endless, nil, ErrTooLarge, "the list of tags has more than 100000"},
		{"that goes on elsewhere", elsewhere, nil, ErrRegistry, "the next page of tags is at another registry, elsewhere.example"},
		{"that is a page of a proxy", onList(page("<html>")), nil, ErrRegistry, "the list of tags is not as it should be"},
		{"that is refused", onList(status(http.StatusForbidden)), nil, ErrDenied, "put the credentials of"},
		{"of no repository", onList(status(http.StatusNotFound)), nil, ErrNotFound, "/edge/node: no such image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tagsOf(tt.fault)(t)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v, %q", err, tt.is, tt.says)
			}
		})
	}
}

// TestTagsOfMirrors: a mirror is asked first; one that fails or has no tag is left.
func TestTagsOfMirrors(t *testing.T) {
	image := largeImage(t)
	registry, mirror := newRegistry(t, image, httptest.NewServer), newRegistry(t, image, httptest.NewServer)
	o := quick()
	o.Mirrors = map[string][]string{registry.host(): {"http://" + mirror.host()}}
	for _, tt := range []struct {
		name  string
		fault fault
		want  string
	}{
		{"has tags", list(`"of-the-mirror"`), "of-the-mirror"},
		{"has none", list(``), "v1"},
		{"is down", status(http.StatusBadGateway), "v1"},
	} {
		mirror.during(tt.fault)
		got, err := Tags(t.Context(), registry.host()+"/edge/node", o)
		if err != nil || len(got) != 1 || got[0] != tt.want {
			t.Errorf("the mirror %s: got %q, %v", tt.name, got, err)
		}
	}
}

func TestTagsOfWhat(t *testing.T) {
	for _, ref := range []string{"dir:/srv/image", "file:node.tar", "ocifile:node.tar", "/srv/image", "./image", "node.tar"} {
		if _, err := Tags(t.Context(), ref, quick()); !errors.Is(err, ErrNotImage) || !strings.Contains(err.Error(), "only a registry has a list of images; want oci:REGISTRY/NAME") {
			t.Errorf("%s: got %v", ref, err)
		}
	}
	if _, err := Tags(t.Context(), "oci:no good", quick()); err == nil || !strings.Contains(err.Error(), `"oci:no good" is no image reference`) {
		t.Errorf("got %v", err)
	}
}
