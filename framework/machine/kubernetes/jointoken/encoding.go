// SPDX-License-Identifier: Apache-2.0

package jointoken

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// maxKubeconfig is the largest kubeconfig, in bytes, that is unpacked. One with a
// certificate has about 2,000.
const maxKubeconfig = 1 << 20

// decode unpacks the kubeconfig of a token.
func decode(text string) ([]byte, error) {
	packed, err := base64.StdEncoding.DecodeString(text)
	if at, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return nil, fmt.Errorf("%w: it is not base64 at character %d of %d: was it copied completely, and nothing else?", ErrNotToken, int64(at)+1, len(text))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotToken, err)
	}
	unpacker, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: it is base64, but not of gzip: want what `k0s token create` prints", ErrNotToken)
	}
	data, err := io.ReadAll(io.LimitReader(unpacker, maxKubeconfig+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: its end is missing: copy all of it", ErrNotToken)
	case err != nil:
		return nil, fmt.Errorf("%w: it is damaged: %w: copy it again", ErrNotToken, err)
	case len(data) > maxKubeconfig:
		return nil, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrNotToken, maxKubeconfig)
	}
	return data, unpacker.Close()
}

// encode packs a kubeconfig into a token.
func encode(kubeconfig []byte) (string, error) {
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	_, err := packer.Write(kubeconfig)
	if err := errors.Join(err, packer.Close()); err != nil {
		return "", fmt.Errorf("packing the token: %w", err)
	}
	return base64.StdEncoding.EncodeToString(packed.Bytes()), nil
}
