// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// TestRefused: nothing is written, and the error says why.
func TestRefused(t *testing.T) {
	image, _ := recorded(t, imageOf(t, releaseOf()))
	dir := store(t, image)
	with := func(changes ...string) string { return "dir:" + store(t, imageOf(t, releaseOf(changes...))) }
	damaged := store(t, image)
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(damaged, "blobs", "sha256", manifest.Layers[0].Digest.Hex)
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	armed := func(n *testNode) { n.Booted = layout.SlotB; n.come(slot.State{Good: "a", Try: "b", Tries: 1}) }
	for _, tt := range []struct {
		name   string
		source string
		node   func(n *testNode)
		is     error
		says   string
	}{
		{"no kind", dir, nil, ErrSource, "want oci:REF, dir:PATH"},
		{"nothing there", "dir:/nosuch", nil, source.ErrNotFound, "no such folder"},
		{"a layer is missing", "dir:" + damaged, nil, source.ErrMissing, manifest.Layers[0].Digest.String()},
		{"another architecture", "dir:" + dir, func(n *testNode) { n.Release = releaseOf(keyArch, "arm64") }, source.ErrPlatform, "linux/arm64"},
		{"another architecture inside", with(keyArch, "arm64"), nil, ErrUnfit, "its architecture is arm64, the node's is amd64"},
		{"another family", with(keyFamily, "suse"), nil, ErrUnfit, "its family is suse, the node's is debian"},
		{"another model", with(keyModel, "cloud"), nil, ErrUnfit, "its model is cloud, the node's is generic; --force"},
		{"older", with(keyVersion, "v0.9.9"), nil, ErrDowngrade, "version v0.9.9, the running system has v1.0.0; --force"},
		{"older distribution", with(keyRelease, "12"), nil, ErrDowngrade, "debian 12, the running system has 13"},
		{"no version", with(keyVersion, "", keyModel, ""), nil, ErrRelease, "lacks KAIROS_VERSION, KAIROS_MODEL"},
		{"no release", "dir:" + store(t, imageOf(t, releaseOf(), layerOf(t, "etc/.wh.kairos-release", ""))), nil, slotimage.ErrNoRelease, "is this a kairos-build image?"},
		{"larger than the slot", "dir:" + store(t, annotated(image, strings.Repeat("0", 64), rootSize+1)), nil, ErrTooLarge, "partition root-b has 16 MiB, it needs 17 MiB"},
		{"no number", "dir:" + store(t, mutate.Annotations(image, map[string]string{layout.AnnotationRootSize: "big"}).(v1.Image)), nil, ErrManifest, layout.AnnotationRootSize},
		{"on trial", "dir:" + dir, armed, slot.ErrOnTrial, "wait for them, or go back with `kairos-agent rollback"},
		{"no slots known", "dir:" + dir, func(n *testNode) { n.env.lost = errors.New("no block") }, nil, "no block"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			if tt.node != nil {
				tt.node(n)
			}
			before := n.slots()
			_, err := Run(t.Context(), n.Node, Options{Source: tt.source})
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.is, tt.says)
			}
			if len(n.writes) > 0 || n.slots() != before {
				t.Errorf("something was written: %v, state %+v", n.writes, n.slots())
			}
		})
	}
}

func TestForce(t *testing.T) {
	for name, changes := range map[string][]string{"older": {keyVersion, "v0.1.0"}, "older distribution": {keyRelease, "12"}, "another model": {keyModel, "cloud"}} {
		n := newNode(t)
		if _, err := Run(t.Context(), n.Node, Options{Source: "dir:" + store(t, imageOf(t, releaseOf(changes...))), Force: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := newNode(t)
	if _, err := Run(t.Context(), n.Node, Options{Source: "dir:" + store(t, imageOf(t, releaseOf(keyFamily, "suse"))), Force: true}); !errors.Is(err, ErrUnfit) {
		t.Errorf("another family, forced: got %v, want ErrUnfit", err)
	}
}

// TestVersions: what is allowed, and what is said about it.
func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		name        string
		node, image map[string]string
		same        bool
		warns       string
	}{
		{"newer", releaseOf(keyVersion, "v1.0.0"), releaseOf(), false, ""},
		{"the same", releaseOf(), releaseOf(), true, ""},
		{"from Debian 12 to 13", releaseOf(keyRelease, "12"), releaseOf(), true, ""},
		{"without v", releaseOf(keyVersion, "1.0.0"), releaseOf(), false, ""},
		{"not comparable", releaseOf(keyVersion, "spring"), releaseOf(keyVersion, "autumn"), false, "cannot be compared"},
		{"another distribution", releaseOf(keyFlavor, "ubuntu", keyRelease, "24.04"), releaseOf(), true, "changes from ubuntu to debian"},
		{"a node that says nothing", map[string]string{}, releaseOf(), false, "cannot be compared"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newRun(Node{Release: tt.node}, Options{})
			if err := u.judge(tt.image); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(u.result.Warnings, "\n"); u.result.SameVersion != tt.same || !strings.Contains(got, tt.warns) || (got == "") != (tt.warns == "") {
				t.Errorf("same version %v, warnings %q; want %v, %q", u.result.SameVersion, got, tt.same, tt.warns)
			}
		})
	}
}

type refuser struct{ digest v1.Hash }

func (r *refuser) Verify(_ context.Context, _ string, digest v1.Hash, _ v1.Image) error {
	r.digest = digest
	return errors.New("no signature")
}

func TestVerifierComesBeforeTheFirstWrite(t *testing.T) {
	image := imageOf(t, releaseOf())
	n, v := newNode(t), &refuser{}
	_, err := Run(t.Context(), n.Node, Options{Source: "dir:" + store(t, image), Verifier: v})
	if want, _ := image.Digest(); !errors.Is(err, ErrRefused) || v.digest != want || len(n.writes) > 0 {
		t.Errorf("got %v for %s after writes %v, want ErrRefused for %s", err, v.digest, n.writes, want)
	}
}

// TestLabelsThatLie: the release file that was written counts.
func TestLabelsThatLie(t *testing.T) {
	u := newRun(Node{Release: releaseOf()}, Options{})
	u.release = releaseOf(keyVersion, "v9.0.0")
	if err := u.confirm(releaseOf()); !errors.Is(err, ErrRelease) || !strings.Contains(err.Error(), "its labels say") {
		t.Errorf("got %v, want ErrRelease", err)
	}
	u.release = nil
	if err := u.confirm(releaseOf(keyVersion, "v0.1.0")); !errors.Is(err, ErrDowngrade) {
		t.Errorf("got %v, want ErrDowngrade", err)
	}
}
