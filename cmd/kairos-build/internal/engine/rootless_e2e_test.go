// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package engine

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
)

// An ordinaryUser is a user whom only the commands of a test know, with a folder of its own.
type ordinaryUser struct {
	dir   string // everybody may read it
	files string // that /etc has for the commands
}

// newOrdinaryUser makes a user with so many subordinate IDs.
func newOrdinaryUser(t *testing.T, subordinates string) ordinaryUser {
	t.Helper()
	dir, err := os.MkdirTemp("", "ordinary-user-") //nolint:usetesting // that of t.TempDir is root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	u := ordinaryUser{dir, filepath.Join(dir, "etc")}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(u.files, 0o755); err != nil {
		t.Fatal(err)
	}
	ids := "ann:200000:" + subordinates + "\n"
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/root:/bin/sh\nann:x:4242:4242::/nonexistent:/bin/sh\n", "group": "root:x:0:\nann:x:4242:\n", "subuid": ids, "subgid": ids,
	} {
		if err := os.WriteFile(filepath.Join(u.files, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// owns makes a folder of the user, with what is in from.
func (u ordinaryUser) owns(t *testing.T, name, from string) string {
	t.Helper()
	dir := filepath.Join(u.dir, name)
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Chown(path, 4242, 4242)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs this test binary as the user.
func (u ordinaryUser) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(u.dir, "engine.test")
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/as-ordinary-user")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", script, u.files, program}, args...)...)
	cmd.Dir = "/"
	return cmd
}

// owned is a graph with what needs rights: IDs that are not the user's, set-uid, a file
// capability, and files and folders that are gone or new in a later layer.
func owned(w *world) llb.State {
	s := w.step("write", w.from(), "write", "/srv/a/x", "1")
	s = w.step("remove", s, "remove", "/srv/a")
	return w.step("own", s, "own", "/srv/a/y")
}

// TestOrdinaryUser: without root the image has the digest that it has with root.
func TestOrdinaryUser(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	w.store, w.base = writeBase(t, buildStep(t), dir)
	e := open(t, Options{StateDir: w.state})
	r := w.request(t, owned(w))
	r.Image = image(filepath.Join(t.TempDir(), "image"))
	want, err := e.Solve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e)

	u := newOrdinaryUser(t, "65536")
	b := build{State: u.owns(t, "state", t.TempDir()), Store: u.owns(t, "store", dir), Base: w.base}
	b.Image = filepath.Join(u.owns(t, "out", t.TempDir()), "image")
	data, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	cmd := u.command(t, "-test.run=^TestBuildInThisProcess$", "-test.v")
	cmd.Env = append(os.Environ(), buildEnv+"="+string(data), "TMPDIR="+b.State)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "solved "+want.Digest.String()) {
		t.Errorf("got %v, want the digest %s:\n%s", err, want.Digest, out)
	}
	if left := leftovers(t, b.State); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestOrdinaryUserLacks: what is missing is told before anything is built.
func TestOrdinaryUserLacks(t *testing.T) {
	for name, tt := range map[string]struct{ ids, path, want string }{
		"subordinate IDs": {"1000", os.Getenv("PATH"), "it needs 65535 subordinate IDs in /etc/subuid, which has 1000 for ann: add them (sudo usermod --add-subuids"},
		"newuidmap":       {"65536", "/nonexistent", "install them (apt-get install uidmap"},
		"nothing":         {"65536", os.Getenv("PATH"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := newOrdinaryUser(t, tt.ids)
			cmd := u.command(t, checkVerb, u.owns(t, "state", t.TempDir()))
			cmd.Args = append([]string{"unshare", "--mount", cmd.Args[2], cmd.Args[3], "/usr/bin/env", "PATH=" + tt.path}, cmd.Args[4:]...)
			out, err := cmd.CombinedOutput()
			if (err == nil) != (tt.want == "") || !strings.Contains(string(out), tt.want) {
				t.Errorf("got %v, want %q\n%s", err, tt.want, out)
			}
		})
	}
}
