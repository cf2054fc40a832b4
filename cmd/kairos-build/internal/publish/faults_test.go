// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// during is an Evidence that does something in the middle of a run.
type during func()

func (d during) Evidence(context.Context, Subject, []Attachment) ([]Attachment, error) {
	d()
	return nil, nil
}

// TestEndAtEachRequest ends a run at each of its writing requests. The tag must not be
// there, and the next run finishes without sending a blob twice.
func TestEndAtEachRequest(t *testing.T) {
	both(t, func(t *testing.T, r *testRegistry) {
		for n := 0; ; n++ {
			repo := fmt.Sprintf("%s/edge/n%d", r.host(), n)
			o := options(repo)
			o.Retries = -1
			dir := amd64().write(t)
			left := atomic.Int64{}
			left.Store(int64(n))
			var commits sync.Map
			var working sync.WaitGroup
			r.set(func(w http.ResponseWriter, req *http.Request) bool {
				working.Add(1)
				defer working.Done()
				if len(writes([]string{req.Method + " " + req.URL.Path})) > 0 && left.Add(-1) < 0 {
					refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE")
					return true
				}
				d := req.URL.Query().Get("digest")
				if req.Method != http.MethodPut || d == "" {
					return false
				}
				answer := &statusWriter{ResponseWriter: w}
				r.inner.ServeHTTP(answer, req)
				if answer.status == http.StatusCreated { // one that the end of the run interrupts is not stored
					count, _ := commits.LoadOrStore(d, new(atomic.Int64))
					count.(*atomic.Int64).Add(1)
				}
				return true
			})
			_, err := push(t.Context(), o, dir)
			if err == nil {
				if n < 10 {
					t.Errorf("a run has no more than %d writing requests", n)
				}
				return // n is more than a run has
			}
			r.CloseClientConnections() // the run is over; the registry may still store what it was sent
			working.Wait()
			r.mu.Lock()
			old := r.fault
			r.mu.Unlock()
			checkNoTag(t, r, repo, n)
			left.Store(1 << 40)
			r.set(old)
			checkPulled(t, mustPush(t, o, dir))
			commits.Range(func(digest, count any) bool {
				if got := count.(*atomic.Int64).Load(); got > 1 {
					t.Errorf("ended at request %d: blob %s was sent %d times", n, digest, got)
				}
				return true
			})
		}
	})
}

// A statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// checkNoTag: whatever the run did, there is no tag.
func checkNoTag(t *testing.T, r *testRegistry, repo string, n int) {
	t.Helper()
	r.set(nil)
	p, err := Open(t.Context(), options(repo))
	if err != nil {
		t.Fatal(err)
	}
	if tag, err := p.tagged(t.Context(), testTag); tag != nil || err != nil {
		t.Errorf("ended at request %d: the tag names %v, %v", n, tag, err)
	}
}

// TestHangUp: a connection that ends in the middle of a blob costs the rest of that blob
// alone.
func TestHangUp(t *testing.T) {
	r := newRegistry(t, false)
	var mu sync.Mutex
	var spans []string
	cut := 2
	r.set(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPatch {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		spans = append(spans, req.Header.Get("Content-Range"))
		if cut == 0 || req.ContentLength < 2000 {
			return false
		}
		cut--
		req.Body = io.NopCloser(io.MultiReader(io.LimitReader(req.Body, req.ContentLength/2), broken{}))
		r.inner.ServeHTTP(httptest.NewRecorder(), req)
		panic(http.ErrAbortHandler)
	})
	one := amd64()
	one.layers = 1
	result := mustPush(t, options(r.repo()), one.write(t))
	checkPulled(t, result)
	resumed := slices.ContainsFunc(spans, func(s string) bool { return s != "" && !strings.HasPrefix(s, "0-") })
	if cut != 0 || !resumed {
		t.Errorf("ranges of the uploads: %q", spans)
	}
}

// broken is a connection that ended.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestHangUpForgotten: a registry that forgets an upload, while it is sent or at its end,
// gets it from the beginning.
func TestHangUpForgotten(t *testing.T) {
	r := newRegistry(t, false)
	var cut, forgotten atomic.Int64
	r.set(func(w http.ResponseWriter, req *http.Request) bool {
		switch {
		case req.URL.Query().Has("digest") && forgotten.Add(1) <= 2:
			refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
			return true
		case req.Method == http.MethodPatch && cut.Add(1) == 1:
			_, _ = io.CopyN(io.Discard, req.Body, 1000)
			panic(http.ErrAbortHandler)
		case req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/uploads/"):
			refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
			return true
		}
		return false
	})
	checkPulled(t, mustPush(t, options(r.repo()), amd64().write(t)))
}

// TestFaultsThatPass: each kind of request fails twice with each status.
func TestFaultsThatPass(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusTooManyRequests} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			r := newRegistry(t, false)
			var failed sync.Map
			r.set(func(w http.ResponseWriter, req *http.Request) bool {
				kind, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/edge/debian/"), "/")
				if req.URL.Path == "/v2/" {
					kind = "ping"
				}
				count, _ := failed.LoadOrStore(req.Method+" "+kind, new(atomic.Int64))
				if count.(*atomic.Int64).Add(1) > 2 {
					return false
				}
				_, _ = io.Copy(io.Discard, req.Body)
				w.Header().Set("Retry-After", "0")
				refuse(w, status, "UNKNOWN")
				return true
			})
			checkPulled(t, mustPush(t, options(r.repo()), amd64().write(t)))
		})
	}
}

// TestRetryAfter: the registry says how long to wait.
func TestRetryAfter(t *testing.T) {
	r := newRegistry(t, false)
	var first atomic.Bool
	r.set(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPatch || first.Swap(true) {
			return false
		}
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
		return true
	})
	start := time.Now()
	mustPush(t, options(r.repo()), amd64().write(t))
	if took := time.Since(start); took < time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestStall: a registry that takes a request and says nothing is asked again.
func TestStall(t *testing.T) {
	r := newRegistry(t, false)
	var first atomic.Bool
	r.set(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPatch || first.Swap(true) {
			return false
		}
		_, _ = io.Copy(io.Discard, req.Body) // else the server does not notice the end
		<-req.Context().Done()
		return true
	})
	o := options(r.repo())
	o.StallTimeout = 500 * time.Millisecond
	checkPulled(t, mustPush(t, o, amd64().write(t)))
	if !first.Load() {
		t.Error("nothing stalled")
	}
}

// TestCancel: an interruption ends at once, removes the open upload and leaves no tag.
func TestCancel(t *testing.T) {
	r := newRegistry(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	r.set(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPatch {
			return false
		}
		cancel()
		_, _ = io.Copy(io.Discard, req.Body) // else the server does not notice the end
		<-req.Context().Done()
		return true
	})
	start := time.Now()
	o := options(r.repo())
	one := amd64()
	one.layers = 1
	_, err := push(ctx, o, one.write(t))
	if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "interrupted: "+r.repo()+" has no tag for the image") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	deleted := 0
	for _, line := range r.requests() {
		if strings.HasPrefix(line, "DELETE ") {
			deleted++
		}
	}
	if deleted < 2 { // one is the check of the access
		t.Errorf("%d uploads were removed", deleted)
	}
	checkNoTag(t, r, r.repo(), 0)
}

// TestOthersWriteTheList: another program writes the list of referrers at the same time.
func TestOthersWriteTheList(t *testing.T) {
	r := newRegistry(t, false)
	dir := amd64().write(t)
	o := options(r.repo())
	p, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	r.set(func(w http.ResponseWriter, req *http.Request) bool {
		tag := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
		if req.Method != http.MethodPut || !strings.HasPrefix(tag, "sha256-") || strings.HasSuffix(tag, ".sig") {
			return false
		}
		once.Do(func() { // what is written now is lost
			r.set(nil)
			r.inner.ServeHTTP(w, req)
			m, err := marshal("application/vnd.oci.image.index.v1+json", v1.IndexManifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Manifests: []v1.Descriptor{}})
			if err == nil {
				_, err = p.put(context.Background(), m, tag)
			}
			if err != nil {
				t.Error(err)
			}
		})
		return true
	})
	checkAttached(t, mustPush(t, o, dir), []string{sbomType, signType})
}
