// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	apitypes "github.com/moby/buildkit/api/types"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A describedServer is a BuildKit that only tells its version and its platforms.
type describedServer struct {
	controlapi.UnimplementedControlServer
	version   string
	platforms []*pb.Platform
	fails     codes.Code // the second question; the first is that of Open
	asked     atomic.Int32
}

func (s *describedServer) Info(context.Context, *controlapi.InfoRequest) (*controlapi.InfoResponse, error) {
	if s.asked.Add(1) > 1 && s.fails != codes.OK {
		return nil, status.Error(s.fails, "out of order")
	}
	return &controlapi.InfoResponse{BuildkitVersion: &apitypes.BuildkitVersion{Version: s.version}}, nil
}

func (s *describedServer) ListWorkers(context.Context, *controlapi.ListWorkersRequest) (*controlapi.ListWorkersResponse, error) {
	return &controlapi.ListWorkersResponse{Record: []*apitypes.WorkerRecord{{Platforms: s.platforms}}}, nil
}

// serve starts a server, and returns its URL.
func serve(t *testing.T, s controlapi.ControlServer) string {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	controlapi.RegisterControlServer(server, s)
	go func() { _ = server.Serve(l) }() // ends with Stop
	t.Cleanup(server.Stop)
	return "unix://" + l.Addr().String()
}

func TestDescribe(t *testing.T) {
	arm := []*pb.Platform{{OS: "linux", Architecture: "arm64"}}
	for name, tt := range map[string]struct {
		server controlapi.ControlServer
		want   string // in the error
	}{
		"new enough":      {&describedServer{version: "v0.13.0", platforms: arm}, ""},
		"no version":      {&describedServer{version: "v0.0.0+unknown", platforms: arm}, ""},
		"too old":         {&describedServer{version: "v0.12.5", platforms: arm}, "is too old: it has BuildKit v0.12.5; update it to v0.13.0 or newer"},
		"broken":          {&describedServer{version: "v0.13.0", fails: codes.Internal}, "does not answer: Internal: out of order"},
		"much too old":    {&controlapi.UnimplementedControlServer{}, "is too old: it has BuildKit from before v0.11"},
		"other processor": {&describedServer{version: "v0.13.0", platforms: []*pb.Platform{{OS: "linux", Architecture: "amd64"}}}, "runs programs of linux/amd64, and none of linux/arm64: install"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Builder: serve(t, tt.server), StateDir: t.TempDir()}
			err := Builder{Options: o, Platform: "linux/arm64"}.Check(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), o.Builder)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPoolTakesBuildersOfThePlatform(t *testing.T) {
	arm := serve(t, &describedServer{version: "v0.13.0", platforms: []*pb.Platform{{OS: "linux", Architecture: "arm64"}}})
	amd := serve(t, &describedServer{version: "v0.13.0", platforms: []*pb.Platform{{OS: "linux", Architecture: "amd64"}}})
	pool, err := NewPool(t.Context(), slog.New(slog.DiscardHandler), []Options{{Builder: amd}, {Builder: arm}})
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for _, platform := range []string{"linux/arm64", "linux/amd64", "linux/arm64"} {
		if err := pool.Do(t.Context(), platform, func(o Options) error { used = append(used, o.Builder); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(used, []string{arm, amd, arm}) {
		t.Errorf("used %q", used)
	}

	_, err = NewPool(t.Context(), slog.New(slog.DiscardHandler), []Options{{Builder: "unix:///nowhere"}, {Builder: amd}, {Builder: "unix:///elsewhere"}})
	if err == nil || !strings.Contains(err.Error(), "unix:///nowhere does not answer") || !strings.Contains(err.Error(), "unix:///elsewhere does not answer") {
		t.Errorf("got %v", err)
	}
}

func TestCacheEntries(t *testing.T) {
	from, to, err := Options{
		CacheFrom: []string{"type=registry,ref=r.example/cache:a", "type=local,src=/s"}, CacheTo: []string{"type=local,dest=/d", "type=registry,ref=r.example/c,mode=min,compression=zstd"},
	}.cacheEntries()
	if err != nil || len(from) != 2 || from[0].Type != "registry" || from[0].Attrs["ref"] != "r.example/cache:a" || to[0].Attrs["mode"] != "max" || to[1].Attrs["mode"] != "min" || to[1].Attrs["compression"] != "zstd" {
		t.Errorf("%v, %v, %v", from, to, err)
	}
	for text, want := range map[string]string{
		"ref=x":                  `a cache of type "" is not known: write type=registry,ref=REGISTRY/NAME:TAG or type=local,dest=FOLDER`,
		"type=s3,bucket=b":       `a cache of type "s3" is not known`,
		"type=registry":          "ref= is missing",
		"type=local,src=/folder": "dest= is missing",
		`type="`:                 "--cache-to",
	} {
		if _, _, err := (Options{CacheTo: []string{text}}).cacheEntries(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// TestShare: two pieces of work run on one builder, the third waits, and a builder that is lost
// is lost for all.
func TestShare(t *testing.T) {
	pool := Share(slog.New(slog.DiscardHandler), Options{Builder: "unix:///only"}, 2)
	var group sync.WaitGroup
	var running, most atomic.Int32
	two := make(chan struct{})
	for range 3 {
		group.Go(func() {
			err := pool.Do(t.Context(), "linux/amd64", func(Options) error {
				defer running.Add(-1)
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
					if n == 2 {
						close(two)
					}
				}
				<-two
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most.Load() != 2 {
		t.Errorf("%d at once", most.Load())
	}
	tries := 0
	err := pool.Do(t.Context(), "", func(o Options) error {
		tries++
		return &BuilderError{URL: o.Builder, What: "is gone"}
	})
	if err == nil || tries != 2 || !strings.Contains(err.Error(), "builder unix:///only is gone") {
		t.Errorf("after %d tries: %v", tries, err)
	}
}
