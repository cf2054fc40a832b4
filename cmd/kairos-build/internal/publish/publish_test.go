// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kairos-build/kairos-build/framework/source"
)

// both runs a test with a registry that has the referrers API, and with one that has not.
func both(t *testing.T, test func(t *testing.T, r *testRegistry)) {
	for name, api := range map[string]bool{"referrers API": true, "tag of referrers": false} {
		t.Run(name, func(t *testing.T) { test(t, newRegistry(t, api)) })
	}
}

// TestPublish: everything is there, in the safe order, and a second run writes nothing.
func TestPublish(t *testing.T) {
	both(t, func(t *testing.T, r *testRegistry) {
		dir := amd64().write(t)
		o := options(r.repo())
		result := mustPush(t, o, dir)
		if result.Reference != r.repo()+":"+testTag || !result.Signed || result.Bytes.Sent < 2*layerSize || result.Bytes.Present+result.Bytes.Mounted != 0 {
			t.Errorf("got %+v", result)
		}
		checkOrder(t, r.requests(), result)
		checkPulled(t, result)
		checkAttached(t, result, []string{sbomType, signType})

		again := mustPush(t, o, dir)
		if changed := writes(r.requests()); len(changed) > 0 {
			t.Errorf("the second run writes %q", changed)
		}
		if again.Bytes.Sent != 0 || again.Bytes.Present != result.Bytes.Sent || !again.Signed || o.Signer.(*notary).count != 1 {
			t.Errorf("the second run gives %+v", again)
		}
	})
}

// checkOrder: attachments come before the image, and the tag is last.
func checkOrder(t *testing.T, requests []string, result *Result) {
	t.Helper()
	changes := writes(requests)
	at := func(part string) int {
		return slices.IndexFunc(changes, func(line string) bool { return strings.HasSuffix(line, part) })
	}
	image, tag := at("/manifests/"+result.Images[0].Digest), at("/manifests/"+result.Tag)
	if image < 0 || tag != len(changes)-1 || tag < image {
		t.Errorf("the image is at %d, the tag at %d of %d: %q", image, tag, len(changes), changes)
	}
	if len(result.Attached) != 3 {
		t.Errorf("attached are %+v", result.Attached)
	}
	for _, a := range result.Attached {
		name := a.Digest
		if a.Tag != "" {
			name = a.Tag
		}
		if n := at("/manifests/" + name); n < 0 || n > image {
			t.Errorf("%s is at %d, the image at %d: %q", a.ArtifactType, n, image, changes)
		}
	}
}

// checkPulled reads the image back as a node does, to the last byte.
func checkPulled(t *testing.T, result *Result) {
	t.Helper()
	image, err := source.Open(t.Context(), result.Reference, source.Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	layers, err := source.Layers(image, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		r, err := layer.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// checkAttached lists the referrers as other clients do.
func checkAttached(t *testing.T, result *Result, want []string) {
	t.Helper()
	ref, err := name.NewDigest(result.Repository+"@"+result.Digest, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(ref)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range list.Manifests {
		got = append(got, d.ArtifactType)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("referrers (-want +got):\n%s", diff)
	}
	old, err := remote.Image(ref.Context().Tag("sha256-" + strings.TrimPrefix(result.Digest, "sha256:") + ".sig"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := old.Manifest()
	if err != nil || len(m.Layers) != 1 || m.Layers[0].Annotations["signature"] != "1" {
		t.Errorf("the old form of the signature is %+v, %v", m, err)
	}
}

// A keyless is a signer without its key.
type keyless struct{ *notary }

var errNoKey = errors.New("the key service has no such key")

func (keyless) Sign(context.Context, Subject) ([]Attachment, error) { return nil, errNoKey }

// TestSignerFails: what is wrong with a key is not blamed on the registry, and leaves no tag.
func TestSignerFails(t *testing.T) {
	both(t, func(t *testing.T, r *testRegistry) {
		o := options(r.repo())
		o.Signer = keyless{&notary{}}
		if _, err := push(t.Context(), o, amd64().write(t)); !errors.Is(err, errNoKey) || err.Error() != errNoKey.Error() {
			t.Errorf("got %v, want %v", err, errNoKey)
		}
	})
}

// TestSecondSigner: signatures of two signers stand beside each other, in both forms.
func TestSecondSigner(t *testing.T) {
	both(t, func(t *testing.T, r *testRegistry) {
		dir := amd64().write(t)
		first := mustPush(t, options(r.repo()), dir)
		o := options(r.repo())
		o.Signer = stranger{&notary{count: 1}}
		mustPush(t, o, dir)
		p, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := v1.NewHash(first.Digest)
		if err != nil {
			t.Fatal(err)
		}
		all, err := p.attached(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range all {
			for _, c := range a.Layers {
				got = append(got, a.Suffix+" "+string(c.Data[:1])+" "+c.Annotations["signature"])
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{" 1 1", " 2 2", " p ", "sig 1 1", "sig 2 2"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A stranger finds no signature good but its own.
type stranger struct{ *notary }

func (stranger) Signed(Subject, []Attachment) bool { return false }

// TestTagIsTaken: a tag with another image is not moved, and nothing is uploaded.
func TestTagIsTaken(t *testing.T) {
	r := newRegistry(t, false)
	first := mustPush(t, options(r.repo()), amd64().write(t))
	r.requests()
	second := amd64().write(t)
	_, err := push(t.Context(), options(r.repo()), second)
	want := r.repo() + ":" + testTag + " names another image, " + first.Digest
	if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--move-tag") {
		t.Errorf("got %v, want %q", err, want)
	}
	if changed := writes(r.requests()); len(changed) > 0 {
		t.Errorf("it writes %q", changed)
	}
	o := options(r.repo())
	o.MoveTag = true
	if moved := mustPush(t, o, second); moved.Replaced != first.Digest {
		t.Errorf("got %+v", moved)
	}
}

// TestTagIsTakenMeanwhile: another program writes the tag while blobs are uploaded.
func TestTagIsTakenMeanwhile(t *testing.T) {
	r := newRegistry(t, false)
	other := manifest{"application/vnd.oci.image.index.v1+json", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)}
	o := options(r.repo())
	o.Evidence = during(func() {
		p, err := Open(t.Context(), options(r.repo()))
		if err == nil {
			_, err = p.put(t.Context(), other, testTag)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if _, err := push(t.Context(), o, amd64().write(t)); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v", err)
	}
}

// TestProgress: each blob reports all of its bytes.
func TestProgress(t *testing.T) {
	r := newRegistry(t, true)
	o := options(r.repo())
	result := mustPush(t, o, amd64().write(t))
	var sum int64
	for name, s := range o.Progress.(*reporter).steps {
		if s.done != s.total || s.cached || s.err != nil {
			t.Errorf("%s: %+v", name, s)
		}
		if strings.HasPrefix(name, "blob ") {
			sum += s.total
		}
	}
	if sum != result.Bytes.Sent || sum < 2*layerSize {
		t.Errorf("the steps have %d bytes, the result %+v", sum, result.Bytes)
	}
}

// TestMount: blobs of another repository are not sent.
func TestMount(t *testing.T) {
	r := newRegistry(t, true)
	dir := amd64().write(t)
	first := mustPush(t, options(r.host()+"/staging/debian"), dir)
	r.requests()
	fromFolder := options(r.repo())
	fromFolder.MountFrom = []string{"nowhere/debian", "staging/debian"}
	for name, tt := range map[string]struct {
		options Options
		path    string
	}{
		"from a registry": {options(r.host() + "/prod/debian"), first.Reference},
		"from a folder":   {fromFolder, dir},
	} {
		result := mustPush(t, tt.options, tt.path)
		if result.Bytes != (Bytes{Mounted: first.Bytes.Sent}) || result.Digest != first.Digest {
			t.Errorf("%s: got %+v, want all of %d mounted", name, result, first.Bytes.Sent)
		}
		checkPulled(t, result)
	}
}

// TestIndex: several folders become one index, signed as each of its images is.
func TestIndex(t *testing.T) {
	both(t, func(t *testing.T, r *testRegistry) {
		arm := amd64()
		arm.arch = "arm64"
		folders := []string{arm.write(t), amd64().write(t)}
		result := mustPush(t, options(r.repo()+":v1.2.3"), folders...)
		signed := map[string]int{}
		for _, a := range result.Attached {
			signed[a.Subject]++
		}
		want := map[string]int{result.Digest: 2, result.Images[0].Digest: 3, result.Images[1].Digest: 3}
		if diff := cmp.Diff(want, signed); diff != "" || result.Images[0].Platform != "linux/arm64" {
			t.Errorf("attachments of each (-want +got):\n%s", diff)
		}
		for _, i := range result.Images {
			image, err := source.Open(t.Context(), result.Reference, source.Options{Arch: strings.TrimPrefix(i.Platform, "linux/")})
			if err != nil {
				t.Fatal(err)
			}
			if digest, err := image.Digest(); err != nil || digest.String() != i.Digest {
				t.Errorf("%s: got %s, %v", i.Platform, digest, err)
			}
		}
		turned := mustPush(t, options(r.repo()+":v1.2.3"), folders[1], folders[0])
		if turned.Digest != result.Digest {
			t.Errorf("another order of the folders gives another index: %s", turned.Digest)
		}
	})
}

// TestFolderWithTwoImages: a layout with two images is refused.
func TestFolderWithTwoImages(t *testing.T) {
	dir := t.TempDir()
	writeImage(t, dir, amd64().image(t), amd64().image(t))
	r := newRegistry(t, false)
	_, err := push(t.Context(), options(r.repo()), dir)
	if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), dir+" has 2 images: publish folders with one image each") {
		t.Errorf("got %v", err)
	}
}

// TestLayoutFolder: an image need not be in the folder of a build.
func TestLayoutFolder(t *testing.T) {
	r := newRegistry(t, false)
	dir := amd64().write(t)
	a, b := mustPush(t, options(r.repo()), dir), mustPush(t, options(r.repo()), filepath.Join(dir, "image"))
	if a.Digest != b.Digest {
		t.Errorf("got %s and %s", a.Digest, b.Digest)
	}
}

// TestAttachLater: what is published unsigned can be signed later, the images of an index
// too, and is not signed again then.
func TestAttachLater(t *testing.T) {
	both(t, func(t *testing.T, r *testRegistry) {
		arm := amd64()
		arm.arch = "arm64"
		folders := []string{amd64().write(t), arm.write(t)}
		o := options(r.repo() + ":v1")
		signer := o.Signer.(*notary)
		o.Signer, o.Unsigned = nil, true
		result := mustPush(t, o, folders...)
		p, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		subjects, err := p.Find(t.Context(), "v1")
		if err != nil || len(subjects) != 3 || subjects[2].Digest.String() != result.Digest {
			t.Fatalf("got %+v, %v", subjects, err)
		}
		for _, s := range subjects {
			list, err := signer.Sign(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if all, err := p.Attach(t.Context(), s, list); err != nil || len(added(all)) != 2 {
				t.Fatalf("got %+v, %v", all, err)
			}
		}
		o.Signer = signer
		if mustPush(t, o, folders...); signer.count != 3 {
			t.Errorf("%d signatures were made", signer.count)
		}
		if _, err := p.Find(t.Context(), "v2"); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), r.repo()+" has no image v2") {
			t.Errorf("got %v", err)
		}
	})
}
