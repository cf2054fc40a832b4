// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A manifest is a document that the registry keeps below manifests/: an image, an index
// or an attachment.
type manifest struct {
	media types.MediaType
	data  []byte
}

func (m manifest) digest() v1.Hash { return sha256Of(m.data) }

func (m manifest) descriptor() v1.Descriptor {
	return v1.Descriptor{MediaType: m.media, Digest: m.digest(), Size: int64(len(m.data))}
}

func sha256Of(data []byte) v1.Hash {
	sum := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// accepted are the media types of manifests that are asked for.
func accepted() string {
	return strings.Join([]string{
		string(types.OCIImageIndex), string(types.OCIManifestSchema1), string(types.DockerManifestList), string(types.DockerManifestSchema2),
	}, ",")
}

// read reads the manifest that a tag or a digest names; nil if there is none.
func (r *registry) read(ctx context.Context, name string) (*manifest, error) {
	a, err := r.ask(ctx, request{method: http.MethodGet, url: r.url("manifests/" + name), accept: accepted()}, http.StatusOK, http.StatusNotFound)
	if err != nil || a.status == http.StatusNotFound {
		return nil, err
	}
	return &manifest{types.MediaType(a.header.Get("Content-Type")), a.data}, nil
}

// tagged returns the digest of what a tag names; nil if there is nothing.
func (r *registry) tagged(ctx context.Context, tag string) (*v1.Hash, error) {
	m, err := r.read(ctx, tag)
	if m == nil || err != nil {
		return nil, err
	}
	digest := m.digest()
	return &digest, nil
}

// hasManifest tells whether the repository has a manifest.
func (r *registry) hasManifest(ctx context.Context, m manifest) (bool, error) {
	q := request{method: http.MethodHead, url: r.url("manifests/" + m.digest().String()), accept: accepted()}
	a, err := r.ask(ctx, q, http.StatusOK, http.StatusNotFound)
	return err == nil && a.status == http.StatusOK, err
}

// put stores a manifest under a name, its digest or a tag.
func (r *registry) put(ctx context.Context, m manifest, name string) (*answer, error) {
	return r.ask(ctx, request{
		method: http.MethodPut, url: r.url("manifests/" + name), media: string(m.media), size: int64(len(m.data)),
		body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.data)), nil },
	}, http.StatusCreated, http.StatusOK, http.StatusAccepted)
}

// putMissing stores a manifest under its digest, unless it is there.
func (r *registry) putMissing(ctx context.Context, m manifest) (stored bool, err error) {
	if there, err := r.hasManifest(ctx, m); there || err != nil {
		return false, err
	}
	_, err = r.put(ctx, m, m.digest().String())
	return err == nil, err
}
