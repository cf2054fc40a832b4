// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/signing"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// run runs a program in a folder.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_COMMITTER_DATE=1700000000 +0000")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// small is a clone of a repository with the folders of this one and tiny programs, in a
// folder with this name. Its commit is the same each time.
func small(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	archive, err := txtar.ParseFile("testdata/small.txtar")
	if err != nil {
		t.Fatal(err)
	}
	version := command(t, ".", "go", "env", "GOVERSION")
	for _, f := range archive.Files {
		data := strings.ReplaceAll(string(f.Data), "GOVERSION", strings.TrimPrefix(version, "go"))
		write(t, filepath.Join(dir, f.Name), data)
	}
	command(t, dir, "git", "init", "--quiet", "--initial-branch=main")
	command(t, dir, "git", "add", ".")
	command(t, dir, "git", "commit", "--quiet", "-m", "first")
	return dir
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// release runs the program.
func release(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, talk bytes.Buffer
	err = run(t.Context(), args, func(name string) string { return env[name] }, &out, &talk)
	return out.String(), talk.String(), err
}

// contents are the digests of the files of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		all[e.Name()] = hex.EncodeToString(sum[:])
	}
	return all
}

// TestSameBytesFromTwoFolders: neither the folder, nor files that are not committed, nor
// node programs of before are in a release.
func TestSameBytesFromTwoFolders(t *testing.T) {
	first, second := small(t, "a"), small(t, "a longer folder")
	write(t, filepath.Join(second, "framework/rootfs/payload/bin/amd64/init"), "old")
	write(t, filepath.Join(second, "framework/rootfs/payload/bin/arm64/init"), "old")
	write(t, filepath.Join(second, "cmd/kairos-build/extra.go"), "package main\n\nfunc init() { version += \"!\" }\n")
	one, two := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "other/out")
	sums, said, err := release(t, nil, "-repository", first, "-version", "v1.2.3", "-o", one)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if !strings.Contains(said, "release: there is no tag v1.2.3 yet") || !strings.Contains(said, "the release is not signed") {
		t.Errorf("got %s", said)
	}
	again, said, err := release(t, nil, "-repository", second, "-version", "v1.2.3", "-o", two)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if !strings.Contains(said, "files in the clone are not committed, and not in the release") {
		t.Errorf("got %s", said)
	}
	if diff := cmp.Diff(contents(t, one), contents(t, two)); diff != "" || sums != again {
		t.Errorf("-first +second:\n%s", diff)
	}
	command(t, one, "sha256sum", "--check", "--strict", "SHA256SUMS")
	if got := command(t, one, filepath.Join(one, "kairos-build-linux-amd64")); got != "v1.2.3 with [init kairos-agent kairos-assemble init kairos-agent kairos-assemble]" {
		t.Errorf("the program says %q", got)
	}
	if got := len(strings.Split(strings.TrimSpace(sums), "\n")); got != 5 {
		t.Errorf("%d files:\n%s", got, sums)
	}
}

// TestSigned: the signatures are of the key, over the files, and a changed byte is noticed.
func TestSigned(t *testing.T) {
	repository, out := small(t, "a"), filepath.Join(t.TempDir(), "out")
	command(t, repository, "git", "tag", "v1.2.3")
	private, public, err := signing.NewKey(filepath.Join(t.TempDir(), "key"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-repository", repository, "-version", "v1.2.3", "-arch", "amd64", "-sign", private, "-o", out}
	if _, _, err := release(t, map[string]string{"COSIGN_PASSWORD": "wrong"}, args...); err == nil || !strings.Contains(err.Error(), "the password is wrong") {
		t.Fatalf("got %v", err)
	}
	if _, said, err := release(t, map[string]string{"COSIGN_PASSWORD": "secret"}, args...); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := verify.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	trust, files := verify.Trust{Keys: keys}, contents(t, out)
	for _, name := range []string{"SHA256SUMS", "kairos-build-linux-amd64"} {
		if _, err := trust.Signature(hash(files[name]), bundle(t, out, name+bundleSuffix)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := trust.Signature(hash(files["provenance.json"]), bundle(t, out, name+bundleSuffix)); err == nil {
			t.Errorf("%s: the signature is over another file, too", name)
		}
	}
	says, _, err := trust.Attestation(hash(files["kairos-build-linux-amd64"]), evidence.ProvenanceType, bundle(t, out, "kairos-build-linux-amd64"+provenanceSuffix))
	if err != nil || !bytes.Contains(says.Predicate, []byte(`"version":"v1.2.3"`)) && !bytes.Contains(says.Predicate, []byte(`"version": "v1.2.3"`)) {
		t.Errorf("%v: %s", err, says.Predicate)
	}
	if !cmp.Equal(text, read(t, out, keyName)) {
		t.Error("the public key is another one")
	}
}

func hash(digest string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: digest} }

func bundle(t *testing.T, dir, name string) verify.Evidence {
	return verify.Evidence{Data: read(t, dir, name)}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBadInput(t *testing.T) {
	repository := small(t, "a")
	command(t, repository, "git", "tag", "v1.0.0")
	command(t, repository, "git", "commit", "--quiet", "--allow-empty", "-m", "second")
	used, empty := t.TempDir(), t.TempDir()
	write(t, filepath.Join(used, "notes.txt"), "mine")
	command(t, empty, "git", "init", "--quiet")
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no version":      {[]string{"-o", "x"}, "a release needs a version: make release VERSION=v1.2.3"},
		"dirty":           {[]string{"-o", "x", "-version", "v1.2.3-dirty"}, "the version v1.2.3-dirty is of files that are not committed: commit them, or name a version: make release VERSION=v1.2.3"},
		"no semver":       {[]string{"-o", "x", "-version", "1.2"}, `the version "1.2" is no version such as v1.2.3 or v1.2.3-rc.1`},
		"short":           {[]string{"-o", "x", "-version", "v1.2"}, `the version "v1.2" is no version such as v1.2.3 or v1.2.3-rc.1`},
		"no folder":       {[]string{"-version", "v1.2.3"}, "no folder for the files: give one with -o"},
		"architecture":    {[]string{"-o", "x", "-arch", "riscv64"}, `architecture "riscv64": kairos-build is released for amd64 and arm64`},
		"twice":           {[]string{"-o", "x", "-arch", "amd64,amd64"}, `architecture "amd64" is there twice`},
		"argument":        {[]string{"-o", "x", "y"}, `unexpected argument "y"`},
		"no commit":       {[]string{"-o", "x", "-version", "v1.2.3", "-commit", "nothing"}, "looking for the commit nothing: git log: exit status 128"},
		"option":          {[]string{"-o", "x", "-version", "v1.2.3", "-commit", "--output=/tmp/x"}, "looking for the commit --output=/tmp/x: git log: exit status 128"},
		"another commit":  {[]string{"-o", "x", "-version", "v1.0.0"}, "the tag v1.0.0 names the commit "},
		"files of others": {[]string{"-o", used, "-version", "v1.2.3"}, used + "/notes.txt is not a file of this release: remove it, or give another folder with -o"},
		"keyless here":    {[]string{"-o", t.TempDir(), "-version", "v1.2.3", "-sign", "keyless"}, "keyless signing needs the identity of a run of GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN are not set): give the job the permission id-token: write, or sign with a key"},
		"no key":          {[]string{"-o", t.TempDir(), "-version", "v1.2.3", "-sign", "/nowhere.key"}, "there is no key file /nowhere.key"},
		"no commits":      {[]string{"-repository", empty, "-o", "x", "-version", "v1.2.3"}, "looking for the commit HEAD"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-repository", repository}, tt.args...)
			if _, _, err := release(t, nil, args...); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestProgramsThatDiffer: a program that was compiled in another way is not published.
func TestProgramsThatDiffer(t *testing.T) {
	dir := small(t, "a")
	goBuild := func(env []string, args ...string) []byte {
		t.Helper()
		file := filepath.Join(t.TempDir(), "program")
		cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build"}, args...), "-o", file, "./framework/initramfs")...)
		cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off"), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return read(t, filepath.Dir(file), "program")
	}
	c := compiler{dir: dir, toolchain: command(t, ".", "go", "env", "GOVERSION")}
	good := goBuild(nil, "-trimpath", "-buildvcs=false")
	if err := c.check(good, "amd64"); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		compiler
		program []byte
		want    string
	}{
		"paths":        {c, goBuild(nil, "-buildvcs=false"), "it was not compiled with -trimpath=true"},
		"git":          {c, goBuild(nil, "-trimpath", "-buildvcs=true"), "the state of git is in it: vcs="},
		"architecture": {c, goBuild([]string{"GOARCH=arm64"}, "-trimpath", "-buildvcs=false"), "it was not compiled with GOARCH=amd64"},
		"cgo":          {c, goBuild([]string{"CGO_ENABLED=1"}, "-trimpath", "-buildvcs=false"), "it was not compiled with CGO_ENABLED=0"},
		"toolchain":    {compiler{dir: dir, toolchain: "go1.2.3"}, good, "it was compiled by " + c.toolchain + ", not go1.2.3"},
		"folder":       {compiler{dir: "/framework/", toolchain: c.toolchain}, append(bytes.Clone(good), "/framework/"...), "the folder /framework/ is in it"},
		"no program":   {c, []byte("#!/bin/sh\n"), "unrecognized file format"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.check(tt.program, "amd64"); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestInterrupted: a release that ends early has no checksums, so nobody takes it for
// complete, and the next one replaces it.
func TestInterrupted(t *testing.T) {
	repository, out := small(t, "a"), t.TempDir()
	write(t, filepath.Join(out, "SHA256SUMS"), "of before")
	write(t, filepath.Join(out, "kairos-build-linux-amd64"), "of before")
	ctx, cancel := context.WithCancel(t.Context())
	cancelAt := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("kairos-agent")) {
			cancel()
		}
		return len(p), nil
	})
	err := run(ctx, []string{"-repository", repository, "-version", "v1.2.3", "-arch", "amd64", "-o", out}, func(string) string { return "" }, io.Discard, cancelAt)
	if err == nil {
		t.Fatal("no error")
	}
	if left := contents(t, out); left["SHA256SUMS"] != "" || left["kairos-build-linux-amd64"] != "" {
		t.Errorf("left: %v", left)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
