// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func env(kv map[string]string) func(string) string {
	return func(key string) string { return kv[key] }
}

func TestDefaultStateDir(t *testing.T) {
	tests := []struct {
		name    string
		euid    int
		env     map[string]string
		want    string
		wantErr error
	}{
		{"root", 0, map[string]string{"HOME": "/root"}, "/var/lib/kairos-build", nil},
		{"xdg", 1000, map[string]string{"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/kairos-build", nil},
		{"relative xdg is ignored", 1000, map[string]string{"XDG_STATE_HOME": "s", "HOME": "/h"}, "/h/.local/state/kairos-build", nil},
		{"nothing", 1000, nil, "", ErrNoStateDir},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := defaultStateDir(tt.euid, env(tt.env))
			if got != tt.want || !errors.Is(err, tt.wantErr) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestFromEnv(t *testing.T) {
	getenv := env(map[string]string{"BUILDKIT_HOST": "tcp://b:1", "KAIROS_BUILD_STATE": "/s", "KAIROS_BUILD_RUNC": "/r"})
	got := FromEnv(Options{StateDir: "/flag"}, getenv)
	want := Options{Builder: "tcp://b:1", StateDir: "/flag", RunC: "/r"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTLSWithDir(t *testing.T) {
	got := TLS{Dir: "/certs", Key: "/elsewhere/key.pem"}.withDir()
	want := TLS{Dir: "/certs", CACert: "/certs/ca.pem", Cert: "/certs/cert.pem", Key: "/elsewhere/key.pem"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCacheLimit(t *testing.T) {
	tests := []struct{ option, disk, want int64 }{
		{5, 1 << 40, 5},
		{0, 1 << 40, 10 << 30},
		{0, 20 << 30, 4 << 30},
		{0, 0, 10 << 30},
	}
	for _, tt := range tests {
		if got := cacheLimit(tt.option, tt.disk); got != tt.want {
			t.Errorf("option %d, disk %d: got %d, want %d", tt.option, tt.disk, got, tt.want)
		}
	}
}

func TestGCPolicyNeverExceedsTheLimit(t *testing.T) {
	for _, limit := range []int64{1 << 20, 10 << 30} {
		for i, p := range gcPolicy(limit) {
			if p.MaxUsedSpace == 0 || p.MaxUsedSpace > limit || p.MinFreeSpace != 0 {
				t.Errorf("limit %d, rule %d: %+v", limit, i, p)
			}
		}
	}
}

func TestWithoutDeadline(t *testing.T) {
	reason := errors.New("interrupted by the user")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, reason)
	defer cancel()
	free, end := withoutDeadline(ctx)
	defer end()
	if _, told := free.Deadline(); told {
		t.Error("it tells the deadline")
	}
	<-free.Done()
	if ctx.Err() == nil || !errors.Is(context.Cause(free), reason) {
		t.Errorf("ended before ctx, or with %v", context.Cause(free))
	}
}
