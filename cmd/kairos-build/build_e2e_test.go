// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// These tests build real images from the real archive: they need root, the
// network and bin/kairos-build (`make e2e` provides all three).
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
)

// A world is a state folder. The cache of a new one holds only what its own builds made.
type world struct {
	t     *testing.T
	state string // empty: the one that all builds on this computer share
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t, t.TempDir()}
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/kairos-build")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return path
}

func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	w.t.Helper()
	cmd := exec.CommandContext(ctx, binary(w.t), args...)
	if w.state != "" {
		cmd.Env = append(os.Environ(), "KAIROS_BUILD_STATE="+w.state)
	}
	return cmd
}

// build builds debian-13 and returns what was printed with --json.
func (w *world) build(dir string, args ...string) *factory.Result {
	w.t.Helper()
	return w.produce(dir, append([]string{"flavor", "debian-13"}, args...)...)
}

// produce runs a verb that builds an image, and returns what it printed with --json.
func (w *world) produce(dir string, args ...string) *factory.Result {
	w.t.Helper()
	cmd := w.command(w.t.Context(), append(args, "-o", dir, "--json", "--progress", "plain")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("build: %v\n%s", err, stderr.String())
	}
	result := &factory.Result{}
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		w.t.Fatalf("build --json printed %q: %v", stdout.String(), err)
	}
	return result
}

// identity is the part of a result that equal inputs must make equal.
func identity(r *factory.Result) map[string]string {
	id := map[string]string{"image": r.Image.Digest, "root hash": r.Image.RootHash}
	for _, d := range r.Disks {
		id[d.Kind] = d.Content
	}
	return id
}

func noCloudConfigFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(path, []byte("#cloud-config\nhostname: edge-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBuildIsDeterministic builds from a cold cache, again, into another folder, and from
// the cache that all builds on this computer filled, those of other versions of our code
// among them.
func TestBuildIsDeterministic(t *testing.T) {
	one, usual := newWorld(t), &world{t, ""}
	out := t.TempDir()
	first := one.build(filepath.Join(out, "first"))
	again := one.build(filepath.Join(out, "first"))
	other := one.build(filepath.Join(out, "elsewhere", "other"))
	warm := usual.build(filepath.Join(out, "warm"))
	for name, r := range map[string]*factory.Result{"second run": again, "other folder": other, "warm cache": warm} {
		if diff := cmp.Diff(identity(first), identity(r)); diff != "" {
			t.Errorf("%s differs (-first +%s):\n%s", name, name, diff)
		}
	}
	same(t, filepath.Join(out, "first", "disk.raw"), filepath.Join(out, "warm", "disk.raw"))
	usual.verifies(filepath.Join(out, "warm"))
	one.lockedBuildIsTheSame(first, out)
	one.cloudConfigChangesTheDiskAlone(first, out)
	one.twoAtOnce(out)
	one.sideBySide(first, out)
	one.interruptedBuildRunsAgain(first, out)
	one.fullDiskKeepsOldOutputs()
}

// lockedBuildIsTheSame builds from a lock of the archive as it is now.
func (w *world) lockedBuildIsTheSame(first *factory.Result, out string) {
	w.t.Helper()
	lock := filepath.Join(out, "lock.yaml")
	if text, err := w.command(w.t.Context(), "lock", "debian-13", "--lock", lock).CombinedOutput(); err != nil {
		w.t.Fatalf("lock: %v\n%s", err, text)
	}
	r := w.build(filepath.Join(out, "locked"), "--lock", lock)
	if diff := cmp.Diff(identity(first), identity(r)); diff != "" {
		w.t.Errorf("a build from a lock differs (-without +with):\n%s", diff)
	}
	if !slices.ContainsFunc(r.Inputs, func(in factory.Input) bool { return strings.HasPrefix(in.Name, "lock") }) {
		w.t.Error("build.json does not name the lock")
	}
}

func (w *world) cloudConfigChangesTheDiskAlone(first *factory.Result, out string) {
	t := w.t
	r := w.build(filepath.Join(out, "first"), "--cloud-config", noCloudConfigFile(t))
	if r.Image.Digest != first.Image.Digest {
		t.Error("a cloud-config changed the image")
	}
	if r.Disks[0].Content == first.Disks[0].Content {
		t.Error("a cloud-config did not change the disk")
	}
	w.verifies(filepath.Join(out, "first"))
}

// same compares files byte by byte.
func same(t *testing.T, a, b string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cmp", a, b).CombinedOutput(); err != nil {
		t.Errorf("cmp: %v: %s", err, out)
	}
}

// verifies runs `disk --verify` on a build.
func (w *world) verifies(dir string) {
	w.t.Helper()
	if out, err := w.command(w.t.Context(), "disk", "--verify", dir).CombinedOutput(); err != nil {
		w.t.Errorf("disk --verify: %v\n%s", err, out)
	}
}

// twoAtOnce runs two builds of different versions on one state folder.
func (w *world) twoAtOnce(out string) {
	t := w.t
	type ended struct {
		text []byte
		err  error
	}
	done := make(chan ended)
	for _, version := range []string{"v1.0.1", "v1.0.2"} {
		cmd := w.command(t.Context(), "flavor", "debian-13", "-o", filepath.Join(out, version), "--version", version, "--progress", "plain")
		go func() {
			text, err := cmd.CombinedOutput()
			done <- ended{text, err}
		}()
	}
	for range 2 {
		if e := <-done; e.err != nil {
			t.Errorf("one of two builds at the same time: %v\n%s", e.err, e.text)
		}
	}
}

// sideBySide builds a flavor and one that extends it with one command.
func (w *world) sideBySide(first *factory.Result, out string) {
	t := w.t
	mine := filepath.Join(t.TempDir(), "mine")
	if err := os.Mkdir(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mine, "flavor.yaml"), []byte("name: mine\nextends: debian-13\ncmdline: {add: [loglevel=3]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := w.command(t.Context(), "flavor", "debian-13", mine, "-o", filepath.Join(out, "both"), "--artifact", "image", "--json", "--progress", "plain")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var list []factory.Result
	err := cmd.Run()
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), &list)
	}
	if err != nil || len(list) != 2 {
		t.Fatalf("%v\n%s\n%s", err, &stdout, &stderr)
	}
	if list[0].Image.Digest != first.Image.Digest || list[1].Flavor != "mine" || list[1].Image.Digest == first.Image.Digest {
		t.Errorf("%s is %s, %s is %s; debian-13 alone %s", list[0].Flavor, list[0].Image.Digest, list[1].Flavor, list[1].Image.Digest, first.Image.Digest)
	}
	for _, name := range []string{"debian-13", "mine"} {
		if !strings.Contains(stderr.String(), "done    "+name+": ") {
			t.Errorf("no step has the name %s before it:\n%s", name, &stderr)
		}
	}
}

// interruptedBuildRunsAgain interrupts builds at several moments, with SIGKILL and
// with signals that a build handles, and checks what they leave behind.
func (w *world) interruptedBuildRunsAgain(first *factory.Result, out string) {
	t := w.t
	dir := filepath.Join(out, "interrupted")
	before := mounts(t)
	for i, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGINT, syscall.SIGKILL, syscall.SIGTERM} {
		version := []string{"v2.0.0", "v2.0.1", "v2.0.2", "v2.0.3"}[i]
		cmd := w.command(t.Context(), "flavor", "debian-13", "-o", dir, "--version", version, "--progress", "plain")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(600+700*i) * time.Millisecond)
		if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Logf("the build with %s had ended before %s", version, signal)
		}
		if signal != syscall.SIGKILL {
			wantNoStage(t, dir)
		}
		wantMounts(t, before)
	}
	r := w.build(dir, "--version", first.Version)
	if diff := cmp.Diff(identity(first), identity(r)); diff != "" {
		t.Errorf("after interruptions the result differs:\n%s", diff)
	}
	wantNoStage(t, dir)
}

func wantNoStage(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			t.Errorf("an interrupted build left %s", entry.Name())
		}
	}
}

func mounts(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

func wantMounts(t *testing.T, want int) {
	t.Helper()
	for range 50 {
		if mounts(t) == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%d mounts, there were %d before the build", mounts(t), want)
}

// fullDiskKeepsOldOutputs writes to a file system that is too small.
func (w *world) fullDiskKeepsOldOutputs() {
	t := w.t
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mounting a small tmpfs: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	old := []byte("an older disk")
	if err := os.WriteFile(filepath.Join(dir, "disk.raw"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := w.command(t.Context(), "flavor", "debian-13", "-o", dir, "--progress", "plain").CombinedOutput()
	if err == nil || !strings.Contains(string(text), "MiB are free: free some") {
		t.Errorf("got %v\n%s\nwant an error about the space", err, text)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "disk.raw")); err != nil || !bytes.Equal(data, old) {
		t.Errorf("the older disk is gone: %v", err)
	}
	wantNoStage(t, dir)
}
