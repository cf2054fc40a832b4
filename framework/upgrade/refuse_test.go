// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// TestRefused: nothing is written, and the error says why.
func TestRefused(t *testing.T) {
	image, _ := recorded(t, imageOf(t, releaseOf()))
	dir := store(t, image)
	with := func(changes ...string) string { return "dir:" + store(t, imageOf(t, releaseOf(changes...))) }
	incomplete := store(t, image)
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(incomplete, "blobs", "sha256", manifest.Layers[0].Digest.Hex)
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	plain := func(layer v1.Layer) v1.Image { return imageOf(t, releaseOf(), layer) }
	large := layerOf(t, "usr/lib/a", noise(rootSize, 7))
	altered, alteredBlob := damaged(t, imageOf(t, releaseOf()))
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
		{"a layer is missing", "dir:" + incomplete, nil, source.ErrMissing, manifest.Layers[0].Digest.String()},
		{"another architecture", "dir:" + dir, func(n *testNode) { n.Release = releaseOf(keyArch, "arm64") }, source.ErrPlatform, "linux/arm64"},
		{"another architecture inside", with(keyArch, "arm64"), nil, ErrUnfit, "its architecture is arm64, the node's is amd64"},
		{"another family", with(keyFamily, "suse"), nil, ErrUnfit, "its family is suse, the node's is debian"},
		{"another distribution", with(keyFlavor, "ubuntu"), nil, ErrUnfit, "its distribution is ubuntu, the node's is debian; --force"},
		{"a version that cannot be compared", with(keyVersion, "spring"), nil, ErrDowngrade, `its version "spring" cannot be compared with v1.0.0, which the running system has; --force`},
		{"older than the floor", "dir:" + dir, func(n *testNode) { n.Floor = releaseOf(keyVersion, "v1.2.0") }, ErrDowngrade, "version v1.1.0, this node had v1.2.0; --force"},
		{"an older distribution than the floor", "dir:" + dir, func(n *testNode) { n.Floor = releaseOf(keyRelease, "14") }, ErrDowngrade, "debian 13, this node had 14; --force"},
		{"nothing to verify with", "dir:" + dir, func(n *testNode) { n.Verifier = nil }, ErrRefused, "nothing to verify images with"},
		{"a label of another version", "dir:" + store(t, labeled(t, image, "io.kairos.version", "v1.2.0")), nil, ErrMismatch, `label io.kairos.version is "v1.2.0", its release file has KAIROS_VERSION="v1.1.0"`},
		{"a label of another distribution", "dir:" + store(t, labeled(t, image, "io.kairos.distribution", "ubuntu")), nil, ErrMismatch, `io.kairos.distribution is "ubuntu"`},
		{"a set-uid file in a layer that was added", "dir:" + store(t, enlarged(t, image, powerful(t, tar.Header{Mode: 0o4755}))), nil, slotimage.ErrPower, "set-uid or set-gid, in a layer that was added"},
		{"file capabilities in a layer that was added", "dir:" + store(t, enlarged(t, image, powerful(t, tar.Header{PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "x"}}))), nil, slotimage.ErrPower, "file capabilities, in a layer that was added"},
		{"layers that unpack to far more than a slot", "dir:" + store(t, imageOf(t, releaseOf(), bomb(t))), nil, ErrTooLarge, "its layers unpack to more than 448 MiB"},
		{"another model", with(keyModel, "cloud"), nil, ErrUnfit, "its model is cloud, the node's is generic; --force"},
		{"older", with(keyVersion, "v0.9.9"), nil, ErrDowngrade, "version v0.9.9, the running system has v1.0.0; --force"},
		{"older distribution", with(keyRelease, "12"), nil, ErrDowngrade, "debian 12, the running system has 13; --force"},
		{"no version", with(keyVersion, "", keyModel, ""), nil, ErrRelease, "lacks KAIROS_VERSION, KAIROS_MODEL"},
		{"no release", "dir:" + store(t, imageOf(t, releaseOf(), layerOf(t, "etc/.wh.kairos-release", ""))), nil, slotimage.ErrNoRelease, "is this a kairos-build image?"},
		{"kernel arguments that GRUB would cut", "dir:" + store(t, annotated(plain(layerOf(t, "usr/lib/kairos/cmdline", strings.Repeat("a=b ", 500))), layout.AnnotationRootSize, "4096")), nil, slotimage.ErrBadCmdline, "usr/lib/kairos/cmdline"},
		{"larger than the slot, says the builder", "dir:" + store(t, annotated(image, layout.AnnotationRootSize, fmt.Sprint(rootSize+1))), nil, ErrTooLarge, "partition root-b has 16 MiB, it needs 17 MiB"},
		{"larger than everything", "dir:" + store(t, annotated(image, layout.AnnotationRootSize, fmt.Sprint(math.MaxInt64))), nil, ErrTooLarge, "it needs 8796093022208 MiB"},
		{"kernel too large, says the builder", "dir:" + store(t, annotated(image, layout.AnnotationBootSize, fmt.Sprint(bootSize+1))), nil, ErrTooLarge, "partition boot-b has 40 MiB, it needs 41 MiB"},
		{"no number", "dir:" + store(t, annotated(image, layout.AnnotationRootSize, "big")), nil, ErrManifest, layout.AnnotationRootSize},
		{"a negative number", "dir:" + store(t, annotated(image, layout.AnnotationRootSize, "-4096")), nil, ErrManifest, "want a size in bytes"},
		{"a number that is none", "dir:" + store(t, annotated(image, layout.AnnotationBootSize, "9223372036854775808")), nil, ErrManifest, layout.AnnotationBootSize},
		{"larger than the slot, without a record", "dir:" + store(t, plain(large)), nil, ErrTooLarge, "partition root-b has 16 MiB"},
		{"larger than the slot, with the record of fewer layers", "dir:" + store(t, enlarged(t, image, large)), nil, ErrTooLarge, "partition root-b has 16 MiB"},
		{"larger than the slot, in a registry", "oci:" + serve(t, enlarged(t, image, large)), nil, ErrTooLarge, "partition root-b has 16 MiB"},
		{"larger than the slot, as a root file system", "dir:" + largeRoot(t), nil, ErrTooLarge, "partition root-b has 16 MiB"},
		{"kernel too large, without a record", "dir:" + store(t, plain(layerOf(t, "boot/initrd", noise(bootSize, 7)))), nil, ErrTooLarge, "partition boot-b"},
		{"no kernel, without a record", "dir:" + store(t, plain(layerOf(t, "boot/.wh.vmlinuz", ""))), nil, slotimage.ErrNoKernel, ""},
		{"altered, without a record", "dir:" + altered, nil, source.ErrAltered, alteredBlob.String()},
		{"on trial", "dir:" + dir, armed, slot.ErrOnTrial, "wait for them, or go back with `kairos-agent rollback"},
		{"no slots known", "dir:" + dir, func(n *testNode) { n.env.lost = errors.New("no block") }, nil, "no block"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			if tt.node != nil {
				tt.node(n)
			}
			before := n.slots()
			_, err := Run(t.Context(), n.Installation, Options{Source: tt.source})
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.is, tt.says)
			}
			if len(n.writes) > 0 || n.slots() != before {
				t.Errorf("something was written: %v, state %+v", n.writes, n.slots())
			}
		})
	}
}

// powerful returns a layer with one file, usr/bin/power, with this header.
func powerful(t *testing.T, h tar.Header) v1.Layer {
	t.Helper()
	h.Typeflag, h.Name = tar.TypeReg, "usr/bin/power"
	layer, err := testimage.Layer(testimage.Entry{Header: h, Content: "power"})
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// bomb returns a layer of zeros that is larger than the layers of any image for the slot.
func bomb(t *testing.T) v1.Layer {
	t.Helper()
	zeros := strings.Repeat("\x00", 64<<20)
	var entries []testimage.Entry
	for range roomy {
		entries = append(entries, testimage.File("usr/lib/bomb", zeros))
	}
	layer, err := testimage.Layer(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// serve puts an image into a registry and returns its reference.
func serve(t *testing.T, image v1.Image) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	t.Cleanup(server.Close)
	ref := strings.TrimPrefix(server.URL, "http://") + "/edge/node:v1"
	tag, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	return ref
}

// largeRoot returns a folder with a root file system.
func largeRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{"etc/kairos-release": releaseText(releaseOf()), "boot/vmlinuz": "kernel", "boot/initrd": "initrd"} {
		sparse(t, filepath.Join(dir, name), data, int64(len(data)))
	}
	sparse(t, filepath.Join(dir, "usr/lib/large"), "large", rootSize)
	return dir
}

func TestForce(t *testing.T) {
	for name, changes := range map[string][]string{"older": {keyVersion, "v0.1.0"}, "older distribution": {keyRelease, "12"}, "another model": {keyModel, "cloud"}, "another distribution": {keyFlavor, "ubuntu"}} {
		n := newNode(t)
		if _, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, imageOf(t, releaseOf(changes...))), Force: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := newNode(t)
	if _, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, imageOf(t, releaseOf(keyFamily, "suse"))), Force: true}); !errors.Is(err, ErrUnfit) {
		t.Errorf("another family, forced: got %v, want ErrUnfit", err)
	}
}

// TestAgainst: the node is asked about the Kubernetes of an image; it decides, unless it is
// forced.
func TestAgainst(t *testing.T) {
	source := "dir:" + store(t, labeled(t, imageOf(t, releaseOf(keyKubernetes, "v1.36.1+k3s1")), layout.LabelKubernetes, "v1.35.1+k3s1"))
	n := newNode(t)

	asked := ""
	n.Against = func(_ context.Context, kubernetes string) []error {
		asked = kubernetes
		return []error{fmt.Errorf("%w: a minor version is left out", ErrUnfit)}
	}
	_, err := Run(t.Context(), n.Installation, Options{Source: source, SkipVerify: true})
	if asked != "v1.36.1+k3s1" || !errors.Is(err, ErrUnfit) || err.Error() != ErrUnfit.Error()+": a minor version is left out; --force installs it nevertheless" || len(n.writes) > 0 {
		t.Errorf("asked about %q: %v, writes %v", asked, err, n.writes)
	}
	r, err := Run(t.Context(), n.Installation, Options{Source: source, Force: true, SkipVerify: true})
	if err != nil || !slices.Contains(r.Warnings, ErrUnfit.Error()+": a minor version is left out") ||
		!slices.Contains(r.Warnings, `the image's label io.kairos.kubernetes is "v1.35.1+k3s1", its release file has KAIROS_SOFTWARE_VERSION="v1.36.1+k3s1"; the file counts`) {
		t.Errorf("forced: %v, %q", err, r.Warnings)
	}
}

// TestVersions: which versions are allowed, and with what warnings.
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
		{"a node that says nothing", map[string]string{}, releaseOf(), false, "cannot be compared"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newRun(Installation{Release: tt.node}, Options{})
			if err := u.judge(tt.image); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(u.result.Warnings, "\n"); u.result.SameVersion != tt.same || !strings.Contains(got, tt.warns) || (got == "") != (tt.warns == "") {
				t.Errorf("same version %v, warnings %q; want %v, %q", u.result.SameVersion, got, tt.same, tt.warns)
			}
		})
	}
}

type refuser struct{ digests []v1.Hash }

func (r *refuser) Verify(_ context.Context, image *source.Image) ([]string, error) {
	r.digests = image.Chain
	return nil, errors.New("no signature")
}

func TestVerifierComesBeforeTheFirstWrite(t *testing.T) {
	image := imageOf(t, releaseOf())
	n, v := newNode(t), &refuser{}
	n.Verifier = v
	src := "dir:" + store(t, image)
	_, err := Run(t.Context(), n.Installation, Options{Source: src, Force: true})
	want, _ := image.Digest()
	if !errors.Is(err, ErrRefused) || !slices.Equal(v.digests, []v1.Hash{want}) || len(n.writes) > 0 {
		t.Errorf("got %v for %s after writes %v, want ErrRefused for %s", err, v.digests, n.writes, want)
	}
	r, err := Run(t.Context(), n.Installation, Options{Source: src, SkipVerify: true})
	if err != nil || r.Verified || !slices.Contains(r.Warnings, "the image is installed without verification: nobody vouches for it") {
		t.Errorf("without verification: %v, verified %v, %q", err, r.Verified, r.Warnings)
	}
}

// TestTag: the tag that a person typed must name the image that comes.
func TestTag(t *testing.T) {
	for _, tt := range []struct {
		tag, says string
	}{
		{"latest", ""},
		{"v1", ""},
		{"v1.2", ""},
		{"v1.1.0", ""},
		{"1.1.0", ""},
		{"v1.1.1", "its tag v1.1.1 says version v1.1.1, its release file has KAIROS_VERSION=\"v1.1.0\""},
		{"13-core-amd64-generic-v1.1.0", ""},
		{"12-core-amd64-generic-v1.1.0", "says release 12"},
		{"13-core-arm64-generic-v1.1.0", "says architecture arm64"},
		{"13-core-amd64-rpi4-v1.1.0", "says model rpi4"},
		{"13-core-amd64-generic-v1.9.0", "says version v1.9.0"},
		{"13-standard-amd64-generic-v1.1.0-k3s-v1.34.1-k3s1", "says Kubernetes v1.34.1-k3s1"},
	} {
		u := newRun(Installation{}, Options{})
		u.image, u.release, u.result.Verified = &source.Image{Tag: tt.tag}, releaseOf(), true
		err := u.bind(nil)
		if (err == nil) != (tt.says == "") || err != nil && (!errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: got %v, want %q", tt.tag, err, tt.says)
		}
	}
}

// labeled sets labels of the configuration, given as keys and values.
func labeled(t *testing.T, image v1.Image, labels ...string) v1.Image {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	changed := config.Config
	changed.Labels = map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		changed.Labels[labels[i]] = labels[i+1]
	}
	if image, err = mutate.Config(image, changed); err != nil {
		t.Fatal(err)
	}
	return image
}

// deep returns an image with the release file below more than 64 MiB of layers, as a
// builder makes it on top of a kairos-build image.
func deep(t *testing.T, release map[string]string) v1.Image {
	t.Helper()
	top, err := testimage.Layer(testimage.File("boot/large", noise(65<<20, 9)))
	if err != nil {
		t.Fatal(err)
	}
	return imageOf(t, release, top)
}

// TestTheReleaseFileDecides: wherever the release file is, and whatever labels say, an
// image that fits is installed, and one that does not is refused before the first write.
func TestTheReleaseFileDecides(t *testing.T) {
	labels := layout.ReleaseLabels()
	ours := func(r map[string]string) []string {
		var list []string
		for _, key := range keys() {
			list = append(list, labels[key], r[key])
		}
		return list
	}
	others := []string{
		ocispec.AnnotationVersion, "v9.0.0", ocispec.AnnotationBaseImageName, "registry.example.org/base/edge:2024",
		"io.kairos.family", "debian", "io.kairos.model", "generic",
	}
	for _, tt := range []struct {
		name  string
		image v1.Image
		is    error  // nil: it is installed
		warns string // of the labels
	}{
		{"no labels", imageOf(t, releaseOf()), nil, ""},
		{"our labels", labeled(t, imageOf(t, releaseOf()), ours(releaseOf())...), nil, ""},
		{"our labels with the version of the image below", labeled(t, imageOf(t, releaseOf()), ours(releaseOf(keyVersion, "v0.9.0"))...), nil, `io.kairos.version is "v0.9.0", its release file has KAIROS_VERSION="v1.1.0"; the file counts`},
		{"our labels of another family", labeled(t, imageOf(t, releaseOf()), ours(releaseOf(keyFamily, "suse"))...), nil, `io.kairos.family is "suse"`},
		{"our labels that promise", labeled(t, imageOf(t, releaseOf(keyFamily, "suse")), ours(releaseOf())...), ErrUnfit, ""},
		{"labels of other tools", labeled(t, imageOf(t, releaseOf()), others...), nil, ""},
		{"labels of other tools, and the file far below", labeled(t, deep(t, releaseOf()), others...), nil, ""},
		{"labels of other tools, and an older file far below", labeled(t, deep(t, releaseOf(keyVersion, "v0.1.0")), others...), ErrDowngrade, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			got, err := Run(t.Context(), n.Installation, Options{Source: "oci:" + serve(t, tt.image), SkipVerify: true})
			got.Warnings = slices.DeleteFunc(got.Warnings, func(w string) bool { return strings.Contains(w, "without verification") })
			if !errors.Is(err, tt.is) {
				t.Fatalf("got %v, want %v", err, tt.is)
			}
			if err != nil && len(n.writes) > 0 {
				t.Errorf("refused after writes: %v", n.writes)
			}
			if warnings := strings.Join(got.Warnings, "\n"); !strings.Contains(warnings, tt.warns) || (warnings == "") != (tt.warns == "") {
				t.Errorf("warnings %q, want %q", got.Warnings, tt.warns)
			}
			if want := releaseOf()[keyVersion]; err == nil && got.Version != want {
				t.Errorf("version %s, want %s", got.Version, want)
			}
		})
	}
}

// TestKeys: the keys that an image must have are those that its labels repeat.
func TestKeys(t *testing.T) {
	want := slices.Sorted(maps.Keys(layout.ReleaseLabels()))
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(keys()))); diff != "" {
		t.Errorf("-layout.ReleaseLabels +keys:\n%s", diff)
	}
}

// TestKinds: source.Open takes each kind of source for a kind, not for part of a path.
func TestKinds(t *testing.T) {
	for _, kind := range kinds() {
		_, err := source.Open(t.Context(), kind+":/None", source.Options{Arch: "amd64"})
		if err == nil || strings.Contains(err.Error(), kind+":/") {
			t.Errorf("%s: got %v, want an error about /None", kind, err)
		}
	}
}
