// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChildEnv(t *testing.T) {
	given := []string{"PATH=/bin", "USER=ann", "TMPDIR=/x", "XDG_RUNTIME_DIR=/run/user/0", "BUILDKIT_HOST=tcp://x", "OTEL_X=1", "GOGC=1", "https_proxy=p"}
	ours := []string{"TMPDIR=/s/tmp", "GOMEMLIMIT=" + childMemory, "GOGC=50"}
	for _, tt := range []struct {
		ids  *idMaps
		want []string
	}{
		{nil, []string{"PATH=/bin", "USER=ann", "https_proxy=p"}},
		{&idMaps{}, []string{"PATH=/bin", "https_proxy=p", "XDG_RUNTIME_DIR=/s/run"}},
	} {
		got := launcher{Options: Options{StateDir: "/s"}, ids: tt.ids}.env(given)
		if diff := cmp.Diff(append(tt.want, ours...), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestChildRefusesToBeStartedByHand(t *testing.T) {
	args := launcher{Options: Options{StateDir: "/s", CacheLimit: 5, Log: slog.New(slog.DiscardHandler)}, runc: "/r"}.args()
	for _, args := range [][]string{args[1:], {"-state", "relative"}, {"-unknown"}} {
		if _, err := parseChildArgs(args); err == nil || !strings.Contains(err.Error(), "started by kairos-build itself") {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

func TestTryLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockName)
	first, err := tryLock(path)
	if err != nil || first == nil {
		t.Fatalf("%v, %v", first, err)
	}
	if err := writeHolder(first, 4711); err != nil {
		t.Fatal(err)
	}
	if second, err := tryLock(path); second != nil || err != nil {
		t.Errorf("locked twice: %v, %v", second, err)
	}
	if got := lockHolder(filepath.Dir(path)); got != "4711" {
		t.Errorf("holder %q", got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := tryLock(path)
	if err != nil || third == nil {
		t.Fatalf("after the release: %v, %v", third, err)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSocketInADeepFolder: the path of a socket is limited to 107 bytes, that of a
// state folder is not.
func TestSocketInADeepFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over a leftover
		l, err := listenSocket(dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := dialSocket(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, close := range []func() error{c.Close, l.Close} {
			if err := close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSweep(t *testing.T) {
	state := t.TempDir()
	for _, file := range []string{"tmp/rubbish", "runc-overlayfs/executor/abc/config.json", "runc-overlayfs/executor/resolv.conf", "runc-overlayfs/content/blob"} {
		path := filepath.Join(state, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweep(state); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, pattern := range []string{"tmp", "tmp/*", "runc-overlayfs/*/*"} {
		paths, err := filepath.Glob(filepath.Join(state, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			left = append(left, strings.TrimPrefix(path, state+"/"))
		}
	}
	want := []string{"tmp", "runc-overlayfs/content/blob", "runc-overlayfs/executor/resolv.conf"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSweepCgroups(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"kairos-build-1/buildkit/a", "pids/kairos-build-1/buildkit/b", "pids/kairos-build-2/buildkit"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sweepCgroups(root, "kairos-build-1"); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(root, "*/*"))
	if err != nil || len(left) != 1 || !strings.HasSuffix(left[0], "pids/kairos-build-2") {
		t.Errorf("left %q, %v", left, err)
	}
}
