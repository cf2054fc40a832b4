// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestReleaseNamesTheBase(t *testing.T) {
	const digest = "sha256:00"
	for _, tt := range []struct {
		name       string
		base       Base
		line       string // of /etc/kairos-release
		imageName  string
		baseDigest string
	}{
		{"archive", Base{}, "", "debian:13", ""},
		{"folder", Base{Digest: digest}, `KAIROS_BASE="sha256:00"`, "", digest},
		{"registry", Base{Name: "registry.example.org/debian:13", Digest: digest}, `KAIROS_BASE="registry.example.org/debian:13@sha256:00"`, "registry.example.org/debian:13", digest},
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

func lineWith(text, prefix string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
