// SPDX-License-Identifier: Apache-2.0

package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxDocument is the largest manifest, index or configuration, in bytes, that
// is read into memory. The OCI distribution specification asks registries to
// accept manifests of that size.
const maxDocument = 4 << 20

// unknown stands for a size that no descriptor gives.
const unknown = -1

// A store holds blobs: a registry's repository, a folder, a tar. No store is
// trusted: this file checks all that they return.
type store interface {
	// open returns the content of a blob, or ErrMissing.
	open(blob v1.Descriptor) (io.ReadCloser, error)
	// has finds out, without reading it, whether a blob is there.
	has(blob v1.Descriptor) (bool, error)
}

// openBlob opens a blob. The reader ends with an error unless the blob has the
// digest and the size of its descriptor. Errors call the blob what.
func openBlob(s store, what string, blob v1.Descriptor) (*blobReader, error) {
	if err := checkDescriptor(what, blob); err != nil {
		return nil, err
	}
	r, err := s.open(blob)
	if err != nil {
		return nil, err
	}
	return newBlobReader(r, what, blob), nil
}

// readDocument reads a blob into memory and checks it.
func readDocument(s store, what string, blob v1.Descriptor) ([]byte, error) {
	if blob.Size > maxDocument {
		return nil, documentTooLarge(fmt.Sprintf("%s %s", what, blob.Digest), blob.Size)
	}
	r, err := openBlob(s, what, blob)
	if err != nil {
		return nil, err
	}
	data, err := readAll(r, fmt.Sprintf("%s %s", what, blob.Digest))
	return data, errors.Join(err, r.Close())
}

// readAll reads a document whose size is not known.
func readAll(r io.Reader, what string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDocument {
		return nil, documentTooLarge(what, 0)
	}
	return data, nil
}

// documentTooLarge names the limit, and the size if it is known.
func documentTooLarge(what string, size int64) error {
	if size == 0 {
		return fmt.Errorf("%w: %s has more than the %d bytes that are read of one", ErrTooLarge, what, maxDocument)
	}
	return fmt.Errorf("%w: %s has %d bytes, more than the %d that are read of one", ErrTooLarge, what, size, maxDocument)
}

// checkDescriptor refuses a blob that cannot be checked.
func checkDescriptor(what string, blob v1.Descriptor) error {
	switch {
	case blob.Digest.Algorithm != "sha256" || len(blob.Digest.Hex) != hex.EncodedLen(sha256.Size):
		return fmt.Errorf("%w: its %s has no sha256 digest, but %q", ErrNotImage, what, blob.Digest)
	case blob.Size < unknown:
		return fmt.Errorf("%w: its %s %s has a size of %d bytes", ErrNotImage, what, blob.Digest, blob.Size)
	}
	return nil
}

// sha256Of is the digest of content.
func sha256Of(content []byte) v1.Hash {
	sum := sha256.Sum256(content)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// A blobReader is a blob that is checked while it is read.
type blobReader struct {
	checked
	io.Closer
}

func newBlobReader(r io.ReadCloser, what string, blob v1.Descriptor) *blobReader {
	return &blobReader{checked{Reader: r, what: what, want: blob.Digest, size: blob.Size, sum: sha256.New()}, r}
}

// checked turns the end of a stream into an error when its digest or its size is
// wrong. A stream that is longer than its size is an error at once.
type checked struct {
	io.Reader
	what  string
	want  v1.Hash
	size  int64 // or unknown
	sum   hash.Hash
	n     int64 // bytes that were read
	watch func(n int)
	err   error // what Read returned last
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	if c.watch != nil {
		c.watch(n)
	}
	switch {
	case c.size != unknown && c.n > c.size:
		err = fmt.Errorf("%w: %s %s has more than its %d bytes", ErrAltered, c.what, c.want, c.size)
	case errors.Is(err, io.EOF):
		err = c.end()
	case err != nil && !errors.Is(err, ErrAltered):
		err = fmt.Errorf("%s %s: %w", c.what, c.want, err)
	}
	c.err = err
	return n, err
}

// end is io.EOF if everything was right.
func (c *checked) end() error {
	if c.size != unknown && c.n < c.size {
		return fmt.Errorf("%w: %s %s has %d of its %d bytes", ErrAltered, c.what, c.want, c.n, c.size)
	}
	if got := hex.EncodeToString(c.sum.Sum(nil)); got != c.want.Hex {
		return fmt.Errorf("%w: %s %s has sha256:%s", ErrAltered, c.what, c.want, got)
	}
	return io.EOF
}

// judge says why unpacking a blob failed: reading failed, or the blob is not the
// requested one, or else the blob itself is broken.
func (c *checked) judge(err error) error {
	if c.err == nil {
		if _, rest := io.Copy(io.Discard, c); rest != nil {
			return rest
		}
	}
	if c.err != nil && !errors.Is(c.err, io.EOF) {
		return c.err
	}
	return fmt.Errorf("unpacking blob %s: %w", c.want, err)
}
