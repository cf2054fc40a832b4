// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"fmt"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/framework/layout"
)

func TestReleaseNamesTheBase(t *testing.T) {
	const digest = "sha256:00"
	for _, tt := range []struct {
		name       string
		base       BaseImage
		line       string // of /etc/kairos-release
		imageName  string
		baseDigest string
	}{
		{"archive", BaseImage{}, "", "debian:13", ""},
		{"folder", BaseImage{Digest: digest}, `KAIROS_BASE="sha256:00"`, "", digest},
		{"registry", BaseImage{Name: "registry.example.org/debian:13", Digest: digest}, `KAIROS_BASE="registry.example.org/debian:13@sha256:00"`, "registry.example.org/debian:13", digest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := resolve(t, "debian-13")
			r.Base = tt.base
			if got := lineWith(r.Release(), "KAIROS_BASE="); got != tt.line {
				t.Errorf("kairos-release: got %q, want %q", got, tt.line)
			}
			labels := r.Labels()
			if got, has := labels[ocispec.AnnotationBaseImageName]; got != tt.imageName || has != (tt.imageName != "") {
				t.Errorf("base name: got %q (%v), want %q", got, has, tt.imageName)
			}
			if got := labels[ocispec.AnnotationBaseImageDigest]; got != tt.baseDigest {
				t.Errorf("base digest: got %q, want %q", got, tt.baseDigest)
			}
		})
	}
}

// TestLabelsSayWhatTheReleaseSays also tests an image made from a base image.
func TestLabelsSayWhatTheReleaseSays(t *testing.T) {
	for _, base := range []BaseImage{{}, {Name: "registry.example.org/other:1", Digest: "sha256:00"}} {
		r := resolve(t, "debian-13")
		r.Base = base
		labels := r.Labels()
		for key, label := range layout.ReleaseLabels() {
			got := lineWith(r.Release(), key+"=")
			if want := fmt.Sprintf("%s=%q", key, labels[label]); labels[label] == "" || got != want {
				t.Errorf("base %q: the release file says %s, the label %s %q", base, got, label, labels[label])
			}
		}
		if got, want := labels["io.kairos.flavor"], "debian-13"; got != want {
			t.Errorf("flavor: got %q, want %q", got, want)
		}
	}
}

func lineWith(text, prefix string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// TestReleaseHasWhatNodesAskFor: an image without one of these keys is refused.
func TestReleaseHasWhatNodesAskFor(t *testing.T) {
	text := resolve(t, "debian-13").Release()
	for key := range layout.ReleaseLabels() {
		if lineWith(text, key+"=") == "" {
			t.Errorf("kairos-release has no %s:\n%s", key, text)
		}
	}
}
