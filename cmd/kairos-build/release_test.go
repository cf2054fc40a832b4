// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/testregistry"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/releaseflow"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/signing/signingtest"
)

const releasedMatrix = "flavors: [debian-13]\narchitectures: [amd64]\nmodels: [generic]\nkubernetes: [none]\n"

// A shop is a bench with a matrix, and an image that was built and tested for a release.
type shop struct {
	bench
	prefix string
}

// newShop makes a shop. The release is called with its args.
func newShop(t *testing.T, handler http.Handler) shop {
	b := newBench(t, handler)
	s := shop{b, strings.TrimSuffix(b.registry, "/debian")}
	b.write("matrix.yaml", releasedMatrix)
	return s
}

// args are the arguments of a release.
func (s shop) args(version string, more ...string) []string {
	return append([]string{
		"release", s.path("matrix.yaml"), "--output", s.path("out"), "--version", version, "--push", s.prefix, "--insecure-registry", "--progress", "none",
	}, more...)
}

// built makes what a build and a test of a version leave. content tells one image from another.
func (s shop) built(version, sign, content string) string {
	s.t.Helper()
	image, err := smallImage("amd64", []string{content})
	if err == nil {
		config, configErr := image.ConfigFile()
		labels := layout.ReleaseLabels()
		config.Config.Labels = map[string]string{
			labels["KAIROS_FLAVOR_RELEASE"]: "13", labels["KAIROS_ARCH"]: "amd64", labels["KAIROS_MODEL"]: "generic", labels["KAIROS_VERSION"]: version,
		}
		image, err = mutate.ConfigFile(image, config)
		if configErr != nil {
			s.t.Fatal(configErr)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s.put(image, version, sign)
}

// put writes the folder of an image with its state, and returns its digest.
func (s shop) put(image v1.Image, version, sign string) string {
	s.t.Helper()
	dir := s.path("out/debian-13-amd64-generic")
	if err := os.RemoveAll(dir); err != nil {
		s.t.Fatal(err)
	}
	path, err := ocilayout.Write(filepath.Join(dir, "image"), empty.Index)
	if err == nil {
		err = path.AppendImage(image)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	f := &releaseFlags{version: version, artifacts: factory.DefaultArtifacts()}
	f.how.sign = sign
	key, err := (&releaser{releaseFlags: f}).Key(releaseflow.Image{Flavor: "debian-13", Architecture: "amd64", Model: "generic", Kubernetes: "none", Repository: s.prefix + "/debian-13"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.json(filepath.Join(dir, "build.json"), factory.Result{Format: factory.FormatVersion, Flavor: "debian-13", Version: version, Image: &factory.Image{Path: "image", Digest: digest.String()}, Evidence: []factory.Evidence{}, Disks: []factory.Disk{}})
	s.json(filepath.Join(dir, releaseflow.StateName), map[string]any{
		"format": 1, "key": key, "digest": digest.String(),
		"tested": releaseflow.Tested{Digest: digest.String(), Scope: testFull, Passed: true, Checks: 3, Date: "2026-11-30"},
	})
	return digest.String()
}

func (s shop) json(path string, document any) {
	s.t.Helper()
	data, err := json.Marshal(document)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// release runs a release, and returns the only image of its result.
func (s shop) release(status int, args ...string) (releaseflow.ImageResult, string) {
	s.t.Helper()
	out, log := s.run(status, append(args, "--json")...)
	var r releaseflow.Result
	if out != "" {
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			s.t.Fatal(err)
		}
	}
	if len(r.Images) == 0 {
		return releaseflow.ImageResult{}, log
	}
	return r.Images[0], log
}

func states(i releaseflow.ImageResult) (text string) {
	for _, s := range i.Steps {
		text += s.Step + " " + s.State + ", "
	}
	return strings.TrimSuffix(text, ", ")
}

// TestRelease signs, pushes and promotes what was built and tested; the second run changes
// nothing; a newer version moves the channel, and an older one does not.
func TestRelease(t *testing.T) {
	eachRegistry(t, func(t *testing.T, h http.Handler) {
		s := newShop(t, h)
		key := s.key("ours")
		first := s.built("v1.0.0", key, "a")
		args := s.args("v1.0.0", "--sign", key, "--channel", "edge,stable")
		got, _ := s.release(0, args...)
		if got.Digest != first || states(got) != "build kept, test kept, sign done, push done, promote done, promote done" {
			t.Fatalf("got %s, %+v", states(got), got)
		}
		ref, pointed := s.prefix+"/debian-13:13-core-amd64-generic-v1.0.0", s.prefix+"/debian-13:stable-13-core-amd64-generic"
		if got.Reference != ref || got.Channels[1].Reference != pointed || got.Channels[1].Sequence < time.Now().Add(-time.Hour).Unix() {
			t.Errorf("got %+v", got)
		}
		s.run(0, "verify", "--key", s.path("ours.pub"), pointed)

		start := time.Now()
		again, _ := s.release(0, args...)
		if states(again) != "build kept, test kept, sign kept, push kept, promote kept, promote kept" || again.Channels[1].Sequence != got.Channels[1].Sequence {
			t.Errorf("again: %s, %+v", states(again), again.Channels)
		}
		t.Logf("a run without a change took %s", time.Since(start))

		second := s.built("v1.1.0", key, "b")
		newer, _ := s.release(0, s.args("v1.1.0", "--sign", key, "--channel", "edge")...)
		if c := newer.Channels[0]; c.Digest != second || c.Replaced != first || c.Sequence <= got.Channels[0].Sequence {
			t.Errorf("newer: %+v", c)
		}

		s.built("v1.0.0", key, "a")
		_, log := s.release(2, s.args("v1.0.0", "--sign", key, "--channel", "edge")...)
		s.says(log, "the channel has a newer image: "+s.prefix+"/debian-13:edge-13-core-amd64-generic names v1.1.0 ("+second+"), and this is v1.0.0: another release was faster, or name it with --downgrade")
		back, _ := s.release(0, s.args("v1.0.0", "--sign", key, "--channel", "edge", "--downgrade")...)
		if c := back.Channels[0]; c.Digest != first || c.Sequence <= newer.Channels[0].Sequence {
			t.Errorf("back: %+v", c)
		}
	})
}

// TestReleaseThatEndsEarly: the registry refuses the writes from some number on. The next run
// comes to the end, and what the channel names always verifies.
func TestReleaseThatEndsEarly(t *testing.T) {
	for writes := int64(1); ; writes += 3 {
		c := &cutRegistry{Handler: testregistry.New(t.Context())}
		s := newShop(t, c)
		key := s.key("ours")
		digest := s.built("v1.0.0", key, "a")
		args := s.args("v1.0.0", "--sign", key, "--channel", "edge")
		c.left.Store(writes)
		status := run(t.Context(), append(args, "--json"), discard{}, discard{})
		c.left.Store(1 << 20)
		got, _ := s.release(0, args...)
		if got.Digest != digest || got.Channels[0].Digest != digest {
			t.Fatalf("after %d writes: %+v", writes, got)
		}
		s.run(0, "verify", "--key", s.path("ours.pub"), got.Channels[0].Reference)
		if status == 0 {
			if writes < 10 {
				t.Errorf("a release has %d writes: nothing was cut", writes)
			}
			return
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestReleaseRefused reads what is refused, before anything is built.
func TestReleaseRefused(t *testing.T) {
	s := newShop(t, testregistry.New(t.Context(), testregistry.ReadOnly)) // read-only
	key := s.key("ours")
	s.write("site.yaml", strings.Replace(releasedMatrix, "[none]", "[k3s v1.34, k3s v1.35]", 1))
	at := func(status int, args []string) string {
		t.Helper()
		_, log := s.run(status, args...)
		if _, err := os.Stat(s.path("out/debian-13-amd64-generic")); err == nil {
			t.Error("it was begun to be built")
		}
		return log
	}
	s.says(at(1, s.args("v1", "--sign", key)), "the registry is read-only")
	s.says(at(2, s.args("v1")), "who signs? Name a key with --sign FILE")
	s.says(at(2, s.args("", "--sign", key)), "which version do the images get? Give --version v1.2.3")
	s.says(at(2, []string{"release", s.path("matrix.yaml"), "--version", "v1", "--sign", key, "--output", s.path("out")}), "where does debian-13-amd64-generic go? Give --push REGISTRY/PREFIX")
	s.says(at(2, s.args("v1", "--sign", key, "--test", "none", "--channel", "edge")), "no channel names an image that was not tested")
	s.says(at(2, s.args("v1", "--sign", key, "--channel", "Edge!")), "--channel: not a channel: \"Edge!\": want a name of small letters and digits")
	s.says(at(2, s.args("v1", "--sign", key, "--until", "prmote", "--test", "some")), `--until "prmote": there are build, test, sign, push, promote`, `--test "some": there are full, short, none`)
	s.says(at(2, s.args("v1", "--sign", key, "--flavors", "debian-12")), `--flavors: the matrix `+s.path("matrix.yaml")+` has no "debian-12"`)
	s.says(at(2, s.args("v1", "--unsigned")), "--unsigned: a release is signed")
	both := s.args("v1", "--sign", key, "--channel", "edge")
	both[1] = s.path("site.yaml")
	s.says(at(2, both), "a channel names one image for a kind of node, and debian-13-amd64-generic-k3s-v1.34 and debian-13-amd64-generic-k3s-v1.35 are for the same kind")
	s.write("old", signingtest.New(t).Token("https://issuer.example.org", "me@example.org", time.Now().Add(-time.Hour)))
	s.says(at(2, s.args("v1", "--sign", "keyless", "--identity-token", s.path("old"))), "the identity token ended at ")

	unlock, err := releaseflow.Lock(t.Context(), s.path("out"), "process 7, since noon", false)
	if err != nil {
		t.Fatal(err)
	}
	s.says(at(1, s.args("v1", "--sign", key)), "another release is running in "+s.path("out")+" (process 7, since noon): wait for it with --wait")
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

// TestReleaseTakenTag: a tag that names other bytes stays as it is, and nothing is tested for it.
func TestReleaseTakenTag(t *testing.T) {
	s := newShop(t, testregistry.New(t.Context()))
	key := s.key("ours")
	first := s.built("v1.0.0", key, "a")
	s.release(0, s.args("v1.0.0", "--sign", key)...)
	s.built("v1.0.0", key, "b")
	got, log := s.release(1, s.args("v1.0.0", "--sign", key)...)
	s.says(log, "the tag is taken: "+s.prefix+"/debian-13:13-core-amd64-generic-v1.0.0 names another image, "+first, "give this image another version (--version) or tag, or let the tag name this one with --move-tag")
	if states(got) != "build kept, push failed" {
		t.Errorf("steps: %s", states(got))
	}
}

// TestReleasePlan asks nobody, and answers at once.
func TestReleasePlan(t *testing.T) {
	s := newShop(t, http.NotFoundHandler())
	s.built("v1.0.0", "", "a")
	start := time.Now()
	got, _ := s.release(0, s.args("v1.0.0", "--plan", "--channel", "edge")...)
	if took := time.Since(start); took > 2*time.Second { // 0.3 s on a machine that does nothing else
		t.Errorf("it took %s", took)
	}
	if states(got) != "build kept, test kept, sign needed, push needed, promote needed" {
		t.Errorf("got %s", states(got))
	}
	out, _ := s.run(0, s.args("v1.1.0", "--plan")...)
	s.says(out, "build needed, test needed, sign needed, push needed")
}

// TestMirrorsOfAMatrix: a mirror is for the images that are made from it, and there must be one.
func TestMirrorsOfAMatrix(t *testing.T) {
	plain := releaseflow.Image{Name: "plain", Flavor: "debian-13", Kubernetes: "none"}
	k3s := releaseflow.Image{Name: "k3s", Flavor: "debian-13", Kubernetes: "k3s v1.35"}
	rocky := releaseflow.Image{Name: "rocky", Flavor: "rocky-9", Kubernetes: "none"}
	values := []string{"https://deb.example/debian", "security=https://deb.example/security", "k3s=file:///k3s", "baseos=https://rpm.example/os"}
	for _, tt := range []struct {
		image releaseflow.Image
		want  []string
	}{{plain, values[:2]}, {k3s, values[:3]}, {rocky, []string{values[0], values[1], values[3]}}} {
		flavor, err := flavors.Open(tt.image.Flavor)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, mirrorsOf(values, tt.image, flavor)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.image.Name, diff)
		}
	}
	r := &releaser{releaseFlags: &releaseFlags{mirror: values}}
	if err := r.checkMirrors([]releaseflow.Image{plain, k3s, rocky}); err != nil {
		t.Errorf("all are used: %v", err)
	}
	if err := r.checkMirrors([]releaseflow.Image{plain, rocky}); err == nil || !strings.Contains(err.Error(), "--mirror k3s=file:///k3s: none of the 2 images is made from that") {
		t.Errorf("got %v", err)
	}
}
