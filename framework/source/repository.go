// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A repository is the store of a registry: GET and HEAD of the OCI distribution
// specification.
type repository struct {
	ctx    context.Context // of all reading
	name   name.Repository
	client *http.Client
}

// root reads the manifest or the index that ref names. A digest in ref is checked;
// for a tag, the registry decides.
func (r *repository) root(ref name.Reference) (media types.MediaType, data []byte, err error) {
	resp, err := r.do(http.MethodGet, "manifests", ref.Identifier())
	if err != nil {
		return "", nil, err
	}
	body := resp.Body
	if digest, ok := ref.(name.Digest); ok {
		hash, err := v1.NewHash(digest.DigestStr())
		if err != nil {
			return "", nil, errors.Join(err, body.Close())
		}
		body = newBlobReader(body, "manifest", v1.Descriptor{Digest: hash, Size: unknown})
	}
	data, err = readAll(body, "manifest "+ref.Identifier())
	return types.MediaType(resp.Header.Get("Content-Type")), data, errors.Join(err, body.Close())
}

func (r *repository) open(blob v1.Descriptor) (io.ReadCloser, error) {
	resp, err := r.do(http.MethodGet, kindOf(blob), blob.Digest.String())
	if isStatus(err, http.StatusNotFound) {
		return nil, fmt.Errorf("%w: blob %s: %w", ErrMissing, blob.Digest, err)
	}
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func (r *repository) has(blob v1.Descriptor) (bool, error) {
	resp, err := r.do(http.MethodHead, kindOf(blob), blob.Digest.String())
	if isStatus(err, http.StatusNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, resp.Body.Close()
}

// kindOf returns the part of a registry that holds a blob: manifests stand apart.
func kindOf(blob v1.Descriptor) string {
	if blob.MediaType.IsIndex() || blob.MediaType.IsImage() {
		return "manifests"
	}
	return "blobs"
}

// accepted returns the media types of manifests and indexes that can be read.
func accepted() []string {
	return []string{string(types.OCIImageIndex), string(types.OCIManifestSchema1), string(types.DockerManifestList), string(types.DockerManifestSchema2)}
}

// url returns the address of something in the repository.
func (r *repository) url(path string) *url.URL {
	return &url.URL{Scheme: r.name.Scheme(), Host: r.name.RegistryStr(), Path: fmt.Sprintf("/v2/%s/%s", r.name.RepositoryStr(), path)}
}

// do asks for a manifest or a blob.
func (r *repository) do(method, kind, id string) (*http.Response, error) {
	accept := ""
	if kind == "manifests" {
		accept = strings.Join(accepted(), ",")
	}
	return r.send(method, r.url(kind+"/"+id), accept)
}

// send sends a request; an answer other than 200 is an error.
func (r *repository) send(method string, u *url.URL, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(r.ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

func isStatus(err error, code int) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && answer.StatusCode == code
}
