// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/releaseflow"
)

// TestReleaseOnSeveralBuilders: the images of a matrix are spread over three builders, and one
// of these is killed while it installs packages. All images are built, and have the digests
// that one builder gives them.
func TestReleaseOnSeveralBuilders(t *testing.T) {
	if testing.Short() {
		t.Skip("the engine's own tests lose a builder in seconds")
	}
	w, dir := &world{t: t}, t.TempDir()
	matrix := filepath.Join(dir, "matrix.yaml")
	text := "flavors: [debian-13, debian-12]\narchitectures: [amd64]\nmodels: [generic, cloud]\nkubernetes: [none]\n"
	if err := os.WriteFile(matrix, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"release", matrix, "--until", "build", "--artifact", "image", "--json", "--no-lock", "--output", filepath.Join(dir, "out")}
	builders := map[string]*exec.Cmd{}
	for _, name := range []string{"one", "two", "three"} {
		url := "unix://" + filepath.Join(dir, name+".sock")
		builders[url] = w.serve(url)
		args = append(args, "--builder", url)
	}

	cmd := w.command(t.Context(), args...)
	var out, log bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	on := map[string]string{} // builder by image
	started := regexp.MustCompile(`start +(debian-\S+): on builder (\S+)`)
	installs := regexp.MustCompile(`start +(debian-\S+): packages: install`)
	killed := ""
	for lines := bufio.NewScanner(io.TeeReader(stderr, &log)); lines.Scan(); {
		if m := started.FindStringSubmatch(lines.Text()); m != nil {
			on[m[1]] = m[2]
		}
		if m := installs.FindStringSubmatch(lines.Text()); m != nil && killed == "" {
			killed = on[m[1]]
			if err := syscall.Kill(-builders[killed].Process.Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || killed == "" {
		t.Fatalf("killed %q: %v\n%s", killed, err, &log)
	}
	if !strings.Contains(log.String(), "begins anew on another builder") {
		t.Errorf("nothing was said of the lost builder:\n%s", &log)
	}
	var r releaseflow.Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Images) != 4 {
		t.Errorf("%d images", len(r.Images))
	}
	for _, i := range r.Images {
		alone := w.produce(filepath.Join(dir, "alone", i.Name), "flavor", i.Flavor, "--model", i.Model, "--artifact", "image", "--no-lock")
		if alone.Image.Digest != i.Digest {
			t.Errorf("%s: %s, alone %s", i.Name, i.Digest, alone.Image.Digest)
		}
	}
}

// serve starts a builder with a state of its own, and waits until it answers.
func (w *world) serve(url string) *exec.Cmd {
	w.t.Helper()
	cmd := w.command(w.t.Context(), "builder", "serve", "--listen", url)
	cmd.Env = append(os.Environ(), "KAIROS_BUILD_STATE="+w.t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // one was killed
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stderr).ReadString('\n'); !strings.Contains(line, "builds are served at "+url) {
		w.t.Fatalf("%q, %v", line, err)
	}
	return cmd
}
