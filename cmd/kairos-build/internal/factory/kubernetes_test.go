// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/kubernetes"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// kubernetesMirror is a mirror of k3s and k0s, in a folder, with a small stand-in for
// the program of each version.
func kubernetesMirror(t *testing.T, versions ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, text := range versions {
		v, err := release.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		name, binaryErr := v.Binary("amd64")
		list, listErr := v.Checksums("amd64")
		program := "#!/bin/sh\necho " + text + "\n"
		if err := errors.Join(
			binaryErr, listErr, os.Mkdir(filepath.Join(dir, text), 0o755),
			os.WriteFile(filepath.Join(dir, text, name), []byte(program), 0o644),
			os.WriteFile(filepath.Join(dir, text, list), []byte(digestOf([]byte(program))+"  "+name+"\n"), 0o644),
		); err != nil {
			t.Fatal(err)
		}
	}
	return "file://" + dir
}

// wantKubernetes asks a world for a Kubernetes.
func (w *world) wantKubernetes(t *testing.T, d release.Distribution, version, mirror string, change ...func(*kubernetes.Options)) {
	t.Helper()
	o := kubernetes.Options{
		Distribution: d, Wanted: version, Mirror: mirror, Cache: filepath.Join(w.options.State, "kubernetes"), Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o)
	}
	f, err := kubernetes.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.options.Kubernetes = f
}

func airgap(o *kubernetes.Options) { o.Airgap = true }

// TestNewKubernetesRenewsItsLayerAlone: the inputs of all other layers are taken from
// the store, and the graph has the same steps, except the one that prints completion.
func TestNewKubernetesRenewsItsLayerAlone(t *testing.T) {
	for _, versions := range [][2]string{{"v1.34.1+k3s1", "v1.34.2+k3s1"}, {"v1.34.1+k0s.0", "v1.34.1+k0s.1"}} {
		v, err := release.Parse(versions[0])
		if err != nil {
			t.Fatal(err)
		}
		d := v.Distribution()
		t.Run(string(d), func(t *testing.T) {
			w, mirror := newWorld(t), kubernetesMirror(t, versions[:]...)
			w.wantKubernetes(t, d, versions[0], mirror)
			old, _ := w.build(t)
			w.wantKubernetes(t, d, versions[1], mirror)
			now, asked := w.build(t)
			if diff := cmp.Diff([]string{"check", "resolve", "solve"}, asked); diff != "" {
				t.Errorf("what the build asked for (-want +got):\n%s", diff)
			}
			if got, want := renewed(now), []string{"kubernetes", "release"}; !slices.Equal(got, want) {
				t.Errorf("renewed the inputs %v, want %v", got, want)
			}
			if got := changedInputs(old, now); !slices.Equal(got, []string{"kubernetes", "release"}) {
				t.Errorf("the graph has other inputs: %v", got)
			}
			if old.Image.Digest == now.Image.Digest || now.Kubernetes != versions[1] {
				t.Errorf("the image is the old one, or build.json says %q", now.Kubernetes)
			}
			if steps := newSteps(w); len(steps) != 1 || !strings.Contains(steps[0], "completion") {
				t.Errorf("%d steps run again, want completion alone", len(steps))
			}
			again, asked := w.build(t)
			if again.Kubernetes != versions[1] || slices.Contains(asked, "solve") {
				t.Errorf("nothing changed, and the build asked for %v", asked)
			}
		})
	}
}

// renewed are the inputs that a build wrote.
func renewed(r *Result) (names []string) {
	for _, s := range r.Steps {
		if name, ok := strings.CutPrefix(s.Name, "input: "); ok && !s.Cached {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// changedInputs are the inputs of the graph that another build has not.
func changedInputs(old, now *Result) (names []string) {
	for _, in := range now.Inputs {
		if !slices.Contains(old.Inputs, in) && !strings.Contains(in.Name, " ") {
			names = append(names, in.Name)
		}
	}
	slices.Sort(names)
	return names
}

// newSteps are the operations of the last graph that start kairos-assemble and that the
// graph before did not have.
func newSteps(w *world) (steps []string) {
	graphs := w.builder.requests[len(w.builder.requests)-2:]
	known := map[string]bool{}
	for _, op := range graphs[0].Definition.Def {
		known[string(op)] = true
	}
	for _, op := range graphs[1].Definition.Def {
		if text := string(op); !known[text] && strings.Contains(text, "/kairos-build/kairos-assemble") {
			steps = append(steps, text)
		}
	}
	return steps
}

// TestKubernetesInBuildJSON: the result names the release, its files and the inputs.
func TestKubernetesInBuildJSON(t *testing.T) {
	w := newWorld(t)
	w.wantKubernetes(t, release.K0s, "v1.34.1", kubernetesMirror(t, "v1.34.1+k0s.0"))
	r, _ := w.build(t)
	written := &Result{}
	decode(t, filepath.Join(w.options.Dir, "build.json"), written)
	if written.Kubernetes != "v1.34.1+k0s.0" {
		t.Errorf("build.json says %q", written.Kubernetes)
	}
	program := "#!/bin/sh\necho v1.34.1+k0s.0\n"
	if got, want := r.Inputs[0], (Input{Name: "kubernetes v1.34.1+k0s.0 k0s-v1.34.1+k0s.0-amd64", Digest: "sha256:" + digestOf([]byte(program))}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	header, content := member(t, w, r, "kubernetes", "usr/bin/k0s")
	if content != program || header.Mode != 0o755 || !header.ModTime.Before(w.packages.epoch) {
		t.Errorf("the program is %q with mode %o and time %s", content, header.Mode, header.ModTime)
	}
	if _, content := member(t, w, r, "kubernetes", "usr/lib/kairos/kubernetes"); content != "v1.34.1+k0s.0\n" {
		t.Errorf("the image says %q", content)
	}
	if _, content := member(t, w, r, "users", "usr/lib/sysusers.d/kairos-k0s.conf"); !strings.Contains(content, "u etcd ") {
		t.Errorf("users: %q", content)
	}
	if _, content := member(t, w, r, "release", "etc/kairos-release"); !strings.Contains(content, "KAIROS_SOFTWARE_VERSION=\"v1.34.1+k0s.0\"\n") {
		t.Errorf("kairos-release is\n%s", content)
	}
	if r.Steps[0].Name != "kubernetes: find k0s v1.34.1" {
		t.Errorf("the first step is %q", r.Steps[0].Name)
	}
}

// TestConfigsThatTheImageCannotRun: what is known before the build is said before it, the
// rest before a disk is written.
func TestConfigsThatTheImageCannotRun(t *testing.T) {
	for _, tt := range []struct {
		name, kubernetes, config, want string
		solved                         bool
	}{
		{"no Kubernetes", "", "k3s: {enabled: true}\n", "this image has no Kubernetes: build it with --k3s VERSION", false},
		{"the other one", "v1.34.1+k0s.0", "k3s: {enabled: true}\n", "this image has k0s v1.34.1+k0s.0 and not k3s", false},
		{"two roles", "v1.34.1+k3s1", "k3s: {enabled: true}\nk3s-agent: {enabled: true, args: [--server=https://a.example]}\n", "a node has one role in a cluster", false},
		{"an unknown argument", "v1.34.1+k3s1", "k3s: {enabled: true, args: [--cluster-inti]}\n", "--cluster-inti", true},
		{"right", "v1.34.1+k3s1", "k3s: {enabled: true, args: [--cluster-init]}\n", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.kubernetes != "" {
				v, err := release.Parse(tt.kubernetes)
				if err != nil {
					t.Fatal(err)
				}
				w.wantKubernetes(t, v.Distribution(), tt.kubernetes, kubernetesMirror(t, tt.kubernetes))
			}
			w.builder.files = []testimage.Entry{
				testimage.File(layout.ImageKubernetes[1:], tt.kubernetes), testimage.File(layout.ImageKubernetesArguments[1:], "server --cluster-init switch\n"),
			}
			path := filepath.Join(t.TempDir(), "site.yaml")
			if err := os.WriteFile(path, []byte("#cloud-config\n"+tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			w.options.CloudConfigs = []string{path}
			_, err := Build(t.Context(), w.options)
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "site.yaml:2")) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if solved := slices.Contains(w.list, "solve"); solved != tt.solved {
				t.Errorf("the build asked for %v", w.list)
			}
			if _, err := os.Stat(filepath.Join(w.options.Dir, "disk.raw")); (err == nil) != (tt.want == "") {
				t.Errorf("the disk: %v", err)
			}
		})
	}
}

// TestUnknownKubernetesIsBadInput: it is found before the archive is read. A mirror
// that does not answer is no bad input.
func TestUnknownKubernetesIsBadInput(t *testing.T) {
	w, mirror := newWorld(t), kubernetesMirror(t, "v1.34.1+k3s1")
	w.wantKubernetes(t, release.K3s, "v1.34.1+k3s7", mirror)
	if _, err := Build(t.Context(), w.options); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "there is no k3s v1.34.1+k3s7") {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(w.list, []string{"check"}) {
		t.Errorf("the build asked for %v", w.list)
	}
	w.wantKubernetes(t, release.K3s, "v1.34", mirror) // it has no file about channels
	if _, err := Build(t.Context(), w.options); err == nil || errors.Is(err, ErrBadInput) {
		t.Errorf("got %v", err)
	}
}
