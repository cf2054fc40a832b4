// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// outputStore is the store that an export writes to. Blobs that the engine
// keeps on this machine are copied from file to file instead of through two
// sockets; everything else arrives as usual.
type outputStore struct {
	content.Store
	dir   string // the OCI layout
	blobs string // the engine's blobs/, or ""
}

// Writer copies the blob if the engine keeps it on this machine, and then returns
// ErrAlreadyExists, which ends the transfer.
func (s *outputStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var w content.WriterOpts
	for _, opt := range opts {
		if err := opt(&w); err != nil {
			return nil, err
		}
	}
	if s.blobs != "" && w.Desc.Digest != "" {
		copied, err := s.copyBlob(w.Desc.Digest)
		if err != nil {
			return nil, err
		}
		if copied {
			return nil, fmt.Errorf("blob %s: %w", w.Desc.Digest, errdefs.ErrAlreadyExists)
		}
	}
	return s.Store.Writer(ctx, opts...)
}

// copyBlob copies a blob of the engine and verifies its digest on the way. It
// returns false if the engine has no such blob.
func (s *outputStore) copyBlob(d digest.Digest) (bool, error) {
	if err := d.Validate(); err != nil {
		return false, err
	}
	name := filepath.Join(d.Algorithm().String(), d.Encoded())
	src, err := os.Open(filepath.Join(s.blobs, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = copyVerified(filepath.Join(s.dir, "blobs", name), src, d)
	return err == nil, errors.Join(err, src.Close())
}

func copyVerified(path string, src io.Reader, d digest.Digest) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	dst, err := durable.New(path, 0o644)
	if err != nil {
		return err
	}
	verifier := d.Verifier()
	_, err = io.Copy(io.MultiWriter(dst, verifier), src)
	if err == nil && !verifier.Verified() {
		err = fmt.Errorf("blob %s in the engine's cache is damaged: empty the cache with `kairos-build cache prune --all` and build again", d)
	}
	if err != nil {
		return errors.Join(err, dst.Discard())
	}
	return dst.Publish()
}
