// SPDX-License-Identifier: Apache-2.0

package inputs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Import copies an image into the store as the input name, blob by blob and
// unchanged: its manifest keeps its digest. It does not read blobs that the store
// holds already.
func (s *Store) Import(ctx context.Context, name string, image v1.Image) (Input, error) {
	in, err := s.importImage(ctx, name, image)
	if err != nil {
		return Input{}, fmt.Errorf("importing the image for %s: %w", name, err)
	}
	return in, nil
}

func (s *Store) importImage(ctx context.Context, name string, image v1.Image) (Input, error) {
	id, err := image.Digest()
	if err != nil {
		return Input{}, err
	}
	if in, err := s.lookup(ctx, name, id.Hex); err == nil {
		return in, nil
	}
	manifest, err := image.RawManifest()
	if err != nil {
		return Input{}, err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return Input{}, err
	}
	r := record{Manifest: digest.Digest(id.String())}
	for _, document := range [][]byte{config, manifest} {
		if err := s.copy(ctx, digest.FromBytes(document), io.NopCloser(bytes.NewReader(document))); err != nil {
			return Input{}, err
		}
	}
	r.Blobs = append(r.Blobs, digest.FromBytes(config))
	layers, err := image.Layers()
	if err != nil {
		return Input{}, err
	}
	for _, layer := range layers {
		blob, size, err := s.copyLayer(ctx, layer)
		if err != nil {
			return Input{}, err
		}
		r.Blobs, r.Size = append(r.Blobs, blob), r.Size+size
	}
	return Input{Name: name, Digest: r.Manifest, Size: r.Size}, s.keep(ctx, name, id.Hex, r)
}

func (s *Store) copyLayer(ctx context.Context, layer v1.Layer) (digest.Digest, int64, error) {
	id, err := layer.Digest()
	if err != nil {
		return "", 0, err
	}
	size, err := layer.Size()
	if err != nil {
		return "", 0, err
	}
	blob := digest.Digest(id.String())
	if _, err := s.Info(ctx, blob); err == nil {
		return blob, size, nil
	}
	r, err := layer.Compressed()
	if err != nil {
		return "", 0, err
	}
	return blob, size, s.copy(ctx, blob, r)
}

// copy stores the content of r if its digest is want, and closes r.
func (s *Store) copy(ctx context.Context, want digest.Digest, r io.ReadCloser) (err error) {
	defer func() { err = errors.Join(err, r.Close()) }()
	ref := fmt.Sprintf("%s-%d", want.Encoded(), os.Getpid())
	w, err := s.Writer(ctx, content.WithRef(ref), content.WithDescriptor(ocispec.Descriptor{Digest: want}))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	size, err := io.Copy(w, r)
	if err != nil {
		return errors.Join(err, w.Close(), s.Abort(context.WithoutCancel(ctx), ref))
	}
	if err := w.Commit(ctx, size, want); err != nil && !errdefs.IsAlreadyExists(err) {
		return errors.Join(err, w.Close())
	}
	return w.Close()
}
