// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/bootchain"
	"github.com/kairos-build/kairos-build/framework/source"
)

// inspected is a world whose image has a policy, or a file in its place.
func inspected(t *testing.T, policy string) *world {
	t.Helper()
	s, err := testimage.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := s.PEM()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	if policy != "" {
		w.builder.files = []testimage.Entry{testimage.File("etc/kairos/policy.yaml", policy), testimage.File("etc/kairos/release.pub", string(pem))}
	}
	w.build(t)
	return w
}

func (w *world) inspect(t *testing.T, ref string) bootchain.Chain {
	t.Helper()
	chain, err := Inspect(t.Context(), InspectOptions{Ref: ref, Arch: "amd64", State: w.options.State, Progress: w.options.Progress})
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// policies are what the policies of a chain say, by slot.
func policies(c bootchain.Chain) map[string]string {
	found := map[string]string{}
	for _, l := range c.Links {
		if l.What == "policy for the next image" {
			says := strings.Join(l.Says, "; ")
			if at := strings.Index(says, "(sha256:"); at >= 0 { // the key is another one in each test
				says = says[:at] + says[strings.IndexByte(says[at:], ')')+at+2:]
			}
			if says == "" && l.Problem == "" {
				says = l.By
			}
			found[l.Slot] = l.File + ": " + says + " " + l.Problem
		}
	}
	return found
}

// published puts the image of a build into a registry on loopback, and returns its name.
func published(t *testing.T, dir string) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	t.Cleanup(server.Close)
	image, err := source.Layout(filepath.Join(dir, "image"), v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/edge/debian:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

// TestInspect: an image in a folder and in a registry, and a disk, say what their policy is.
func TestInspect(t *testing.T) {
	const text = "format: 1\nkeys: [{name: release, file: /etc/kairos/release.pub, repositories: [registry.example.org/edge/*]}]\nrequire: [{type: tested, max_age: 90d}]\nmax_age: 365d\n"
	const says = "/etc/kairos/policy.yaml: trusts key \"release\" for registry.example.org/edge/*; requires the attestation tested, at most 90 days old; requires an image at most 365 days old "
	w := inspected(t, text)
	for ref, want := range map[string]map[string]string{
		w.options.Dir:                         {"": says},
		published(t, w.options.Dir):           {"": says},
		filepath.Join(w.options.Dir, rawName): {"a": says, "b": says, "recovery": says},
	} {
		chain := w.inspect(t, ref)
		if diff := cmp.Diff(want, policies(chain)); diff != "" {
			t.Errorf("%s: -want +got\n%s", ref, diff)
		}
		if isImage := chain.Links[0].What == "image"; isImage != (len(want) == 1) {
			t.Errorf("%s: the first part is %q", ref, chain.Links[0].What)
		}
		if len(chain.NotCovered) < 3 || !strings.Contains(chain.NotCovered[0], "The initrd and the kernel command line have no signature.") {
			t.Errorf("%s: not covered are %q", ref, chain.NotCovered)
		}
	}
}

func TestInspectOddPolicies(t *testing.T) {
	for name, tt := range map[string]struct{ policy, want string }{
		"none":    {"", "/etc/kairos/policy.yaml: nobody: there is no policy in the root, so the node installs no image, unless a file in /oem makes a policy "},
		"nobody":  {"format: 1\n", "/etc/kairos/policy.yaml: trusts nobody: the node installs no image "},
		"a typo":  {"format: 1\nkyes: []\n", `/etc/kairos/policy.yaml:  it does not count, the last correct policy of a good slot does: /etc/kairos/policy.yaml:2:1: kyes: unknown key; did you mean "keys"?`},
		"no file": {"format: 1\nkeys: [{file: /etc/kairos/nosuch.pub}]\n", "nosuch.pub: file does not exist"},
	} {
		w := inspected(t, tt.policy)
		if got := policies(w.inspect(t, w.options.Dir))[""]; !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
