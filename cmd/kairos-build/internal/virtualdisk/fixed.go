// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import "context"

// A fixed writes the bytes of the disk, one for one.
type fixed struct {
	to   sink
	at   int64
	size int64
	tail []byte // behind the disk
}

func openFixed(_ context.Context, d Disk, to sink) (writer, error) {
	return &fixed{to: to, size: d.Size}, nil
}

func (f *fixed) chunk(c *chunk) error {
	if err := f.to.zeros(c.offset - f.at); err != nil {
		return err
	}
	f.at = c.offset + chunkSize
	return f.to.put(c)
}

func (f *fixed) close() error {
	if err := f.to.zeros(f.size - f.at); err != nil {
		return err
	}
	_, err := f.to.Write(f.tail)
	return err
}
