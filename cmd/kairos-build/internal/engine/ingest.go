// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
)

// fromTheStart is a store that does not resume the copy of a blob. A build that is
// interrupted in such a copy leaves its first part, and BuildKit reads the blobs of an
// OCI layout through a stream that cannot begin in the middle (util/iohelper's
// ReadCloser): every later build of that image would end with "unsupported offset".
type fromTheStart struct{ content.Store }

func (s fromTheStart) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := s.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	if err := dropPart(w); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// dropPart empties a blob of which an earlier writer left a part.
func dropPart(w content.Writer) error {
	status, err := w.Status()
	if err != nil {
		return err
	}
	if status.Offset == 0 {
		return nil
	}
	if err := w.Truncate(0); err != nil {
		return fmt.Errorf("removing the first %d bytes of %s, which an interrupted build left: %w", status.Offset, status.Ref, err)
	}
	return nil
}
