// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/recipes"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// A fakeSigner attaches a note to images.
type fakeSigner struct{ *events }

// SignDigest writes the digest beside the file.
func (f fakeSigner) SignDigest(_ context.Context, path string, digest v1.Hash) (bool, error) {
	had, err := os.ReadFile(path + verify.BundleSuffix)
	if err == nil && string(had) == digest.String() {
		return false, nil
	}
	return true, os.WriteFile(path+verify.BundleSuffix, []byte(digest.String()), 0o644)
}

func (f fakeSigner) SignLayout(_ context.Context, dir string) (bool, error) {
	l, all, err := publish.OpenLayout(dir)
	if err != nil {
		return false, err
	}
	before, err := l.Attached(all[0])
	if err != nil || len(before) > 0 {
		return false, err
	}
	f.add("sign")
	note := []publish.Content{{MediaType: "text/plain", Data: []byte("signed " + all[0].Digest.String())}}
	return true, l.Attach(all[0], []publish.Attachment{{ArtifactType: "text/plain", Layers: note}, {Suffix: "sig", Layers: note}})
}

// trusting makes a world with a signer and a policy.
func trusting(t *testing.T, policy string) *world {
	t.Helper()
	w := newWorld(t)
	w.options.Signed = true
	w.options.Trust = func(context.Context) (Trust, error) {
		w.add("open the signer")
		return Trust{Signer: fakeSigner{w.events}, Policy: []recipes.File{{Path: layout.ImagePolicy[1:], Data: []byte(policy)}}}, nil
	}
	return w
}

// TestSigned: what signs is opened before anything is built. The image is signed in its
// folder, once, and the signature changes neither its digest nor what build.json says.
func TestSigned(t *testing.T) {
	w := trusting(t, "format: 1\n")
	first, got := w.build(t)
	want := []string{"open the signer", "check", "resolve", "write base", "write packages", "write tools", "write kernel", "write bootloader", "solve", "sign"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, got := w.build(t); !cmp.Equal(got, []string{"open the signer", "check", "resolve"}) {
		t.Errorf("again: got %v", got)
	}
	w.options.Sizes.Persistent += layout.MiB // another disk of the same image
	other, got := w.build(t)
	if slices.Contains(got, "solve") || slices.Contains(got, "sign") || other.Image.Digest != first.Image.Digest || other.Image.Size != first.Image.Size {
		t.Errorf("another disk: got %v and %+v, before %+v", got, other.Image, first.Image)
	}
}

// TestSignedFilesOfABuild: the disk gets a checksum and a signature, and so do the documents.
func TestSignedFilesOfABuild(t *testing.T) {
	w := trusting(t, "format: 1\n")
	r, _ := w.build(t)
	for _, name := range []string{rawName, rawName + checksumEnd, evidence.SPDXName, evidence.ProvenanceName, resultName} {
		want := "sha256:" + digestOf(read(t, filepath.Join(r.Dir, name)))
		if got := string(read(t, filepath.Join(r.Dir, name+verify.BundleSuffix))); got != want {
			t.Errorf("%s: the signature is of %s, want %s", name, got, want)
		}
	}
	bundle := filepath.Join(r.Dir, rawName+verify.BundleSuffix)
	if err := os.Remove(bundle); err != nil {
		t.Fatal(err)
	}
	if w.build(t); !exists(bundle) {
		t.Error("a build that changes nothing does not sign what lost its signature")
	}
}

// TestSignatureIsKept: an image that another program signed, and that is made again, has its
// signature.
func TestSignatureIsKept(t *testing.T) {
	w := newWorld(t)
	r, _ := w.build(t)
	if _, err := (fakeSigner{w.events}).SignLayout(t.Context(), filepath.Join(w.options.Dir, imageName)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.options.Dir, "disk.raw")); err != nil {
		t.Fatal(err)
	}
	again, got := w.build(t)
	if !slices.Contains(got, "solve") || again.Image.Digest != r.Image.Digest {
		t.Fatalf("got %v", got)
	}
	l, all, err := publish.OpenLayout(filepath.Join(w.options.Dir, imageName))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if list, err := l.Attached(all[0]); err != nil || len(list) != 2 {
		t.Errorf("got %+v, %v", list, err)
	}
}

// TestPolicyIsAnInput: another policy is another image, and the policy is in build.json and
// in the provenance.
func TestPolicyIsAnInput(t *testing.T) {
	w := trusting(t, "format: 1\n")
	first, _ := w.build(t)
	in := Input{Name: "policy " + layout.ImagePolicy, Digest: "sha256:" + digestOf([]byte("format: 1\n"))}
	if !slices.Contains(first.Inputs, in) {
		t.Errorf("build.json: got %v", first.Inputs)
	}
	if text := string(read(t, filepath.Join(w.options.Dir, "provenance.json"))); !strings.Contains(text, in.Name) || !strings.Contains(text, in.Digest[7:]) {
		t.Errorf("provenance.json: got %s", text)
	}
	w = trusting(t, "format: 1\nkeys: []\n")
	if other, _ := w.build(t); other.Image.Digest == first.Image.Digest {
		t.Error("another policy is the same image")
	}
}

// TestSignerRefused: nothing is built if nothing can sign it.
func TestSignerRefused(t *testing.T) {
	w := newWorld(t)
	wrong := errors.New("the password is wrong")
	w.options.Trust = func(context.Context) (Trust, error) { return Trust{}, wrong }
	if _, err := Build(t.Context(), w.options); !errors.Is(err, wrong) || len(w.list) > 0 {
		t.Errorf("got %v after %v", err, w.list)
	}
	w.options.Signed, w.options.Artifacts = true, []string{kindRaw}
	if _, err := Build(t.Context(), w.options); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "--sign signs the image, and --artifact leaves it out") {
		t.Errorf("got %v", err)
	}
}
