// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// maxModule is the largest size of a module after decompression, in bytes.
const maxModule = 64 << 20

// decompress returns the contents of a module file, by its ending: .ko, .xz,
// .zst or .gz. The module, with its signature, stays as it is.
func decompress(name string, data []byte) ([]byte, error) {
	r, err := decompressor(name, bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decompressing %s: %w", name, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err != nil {
		return nil, fmt.Errorf("decompressing %s: %w", name, err)
	}
	if len(out) > maxModule {
		return nil, fmt.Errorf("decompressing %s: it is larger than %d MiB", name, maxModule>>20)
	}
	if !bytes.HasPrefix(out, []byte("\x7fELF")) {
		return nil, fmt.Errorf("%s is not a kernel module: it does not begin with an ELF header", name)
	}
	return out, nil
}

func decompressor(name string, r io.Reader) (io.Reader, error) {
	switch path.Ext(name) {
	case ".xz":
		return xz.NewReader(r, xz.DefaultDictMax)
	case ".zst":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case ".gz":
		return gzip.NewReader(r)
	}
	return r, nil
}
