// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"
)

// An Order is a file to write.
type Order struct {
	// Format of Formats.
	Format Format
	// Compression is one of Compressions, or empty.
	Compression string
	// File is empty, and open for reading and writing. Nil for Format raw: the file is
	// there already, and is only hashed.
	File *os.File
	// Hash asks for the SHA-256 of the file.
	Hash bool
}

// Name is the format with the compression, such as raw.zst.
func (o Order) Name() string { return o.Format.Name + o.ending() }

// Suffix is the end of the file's name, such as .raw.zst.
func (o Order) Suffix() string { return o.Format.Suffix + o.ending() }

func (o Order) ending() string {
	if o.Compression == "" {
		return ""
	}
	return "." + o.Compression
}

// Made describes a file.
type Made struct {
	Size   int64  // bytes, holes included
	SHA256 string // hex; empty unless it was asked for
}

// A writer writes the data of a file.
type writer interface {
	// chunk gets the chunks in order. There are chunks for all data, and for some holes.
	// A writer that needs a chunk after the call holds it.
	chunk(*chunk) error
	// close writes what comes behind the data.
	close() error
}

// ahead is how many chunks a fast writer may be ahead of a slow one.
const ahead = 16

// Write writes the disk to all files, in one pass. It checks all orders before it writes
// the first byte. After an error the files have no meaning.
func Write(ctx context.Context, d Disk, orders []Order) ([]Made, error) {
	if err := check(d, orders); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	made := make([]Made, len(orders))
	var queues []chan *chunk
	for i, o := range orders {
		queue := make(chan *chunk, ahead)
		queues = append(queues, queue)
		group.Go(func() (err error) {
			if made[i], err = o.write(ctx, d, queue); err != nil {
				return fmt.Errorf("writing the %s disk: %w", o.Name(), err)
			}
			return nil
		})
	}
	group.Go(func() error { return d.cut(ctx, queues) })
	return made, group.Wait()
}

func check(d Disk, orders []Order) error {
	all := d.check()
	for _, o := range orders {
		switch {
		case o.Format.most != 0 && d.Size > o.Format.most:
			all = errors.Join(all, fmt.Errorf("a disk of %d GiB: the format %s ends at %d GiB; choose another, such as %s", d.Size>>30, o.Format.Name, o.Format.most>>30, Qcow2))
		case o.Compression != "" && o.Format.Compressed:
			all = errors.Join(all, fmt.Errorf("the format %s is compressed already: leave out the compression %s", o.Format.Name, o.Compression))
		}
	}
	return all
}

// cut cuts the disk into chunks: all with data, and the holes that share a block of a
// format with data.
func (d Disk) cut(ctx context.Context, queues []chan *chunk) error {
	defer func() {
		for _, q := range queues {
			close(q)
		}
	}()
	known, memory := twins(d.Extents), &sync.Pool{New: func() any { return new([chunkSize]byte) }}
	for _, x := range ranges(d.Extents, vhdBlock) {
		for at := x.start; at < min(x.end, d.Size); at += chunkSize {
			c := &chunk{offset: at, twin: -1, from: d.Data, memory: memory}
			if twin, ok := known[at]; ok {
				c.twin = twin
			}
			if err := send(ctx, queues, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func send(ctx context.Context, queues []chan *chunk, c *chunk) error {
	c.holders.Store(int32(len(queues)))
	for _, q := range queues {
		select {
		case q <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// write writes one file.
func (o Order) write(ctx context.Context, d Disk, queue <-chan *chunk) (Made, error) {
	out := newFile(o.File, o.Hash)
	pack := newPacker(ctx, out, o.compression())
	w, err := o.Format.open(ctx, d, pack.or(out))
	if err == nil {
		err = follow(ctx, w, queue)
	}
	if err := errors.Join(err, pack.close()); err != nil {
		return Made{}, err
	}
	return out.end()
}

// follow writes the chunks that come, and closes the writer.
func follow(ctx context.Context, w writer, queue <-chan *chunk) error {
	for c := range queue {
		if err := w.chunk(c); err != nil {
			return errors.Join(err, w.close())
		}
		c.release()
	}
	return errors.Join(context.Cause(ctx), w.close())
}

func (o Order) compression() string {
	if o.Format.wrap != "" {
		return o.Format.wrap
	}
	return o.Compression
}
