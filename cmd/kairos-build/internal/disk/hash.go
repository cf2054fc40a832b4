// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
)

// A Cache keeps small values under names. Get returns fs.ErrNotExist for a name
// that it does not have.
type Cache interface {
	Get(name string) ([]byte, error)
	Put(name string, value []byte) error
}

// hashStep in bytes, between two looks at the context.
const hashStep = 1 << 20

var zeros [hashStep]byte

type digest struct {
	sum     [32]byte
	resumed bool
}

// hash follows the writer through the disk.
func (p *plan) hash(ctx context.Context, r io.ReaderAt) (digest, error) {
	h := sha256.New()
	key, err := p.key(ctx, r)
	if err != nil {
		return digest{}, err
	}
	resumed := p.resume(h, key)
	if !resumed {
		if err := hashRegions(ctx, h, r, p.regions[:p.prefix]); err != nil {
			return digest{}, err
		}
		p.save(h, key)
	}
	if err := hashRegions(ctx, h, r, p.regions[p.prefix:]); err != nil {
		return digest{}, err
	}
	return digest{[32]byte(h.Sum(nil)), resumed}, nil
}

// key names the contents of the prefix: the bytes of the small regions, with
// their places, and the roots by their hash and superblock.
func (p *plan) key(ctx context.Context, r io.ReaderAt) (string, error) {
	if p.Cache == nil {
		return "", nil
	}
	h := sha256.New()
	fmt.Fprintf(h, "disk prefix v1, %d bytes\n", p.regions[p.prefix].start)
	for _, region := range p.regions[:p.prefix] {
		if err := region.wait(ctx, region.isRoot()); err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", region.name, region.start)
		if region.isRoot() {
			fmt.Fprintf(h, "%x %d\n", p.Image.Tree.RootHash, p.Image.Tree.Size)
			if err := hashData(ctx, h, io.NewSectionReader(p.Root, 0, p.Image.Tree.Size), extent{p.Image.Tree.HashOffset, p.Image.Tree.HashOffset + blockSize}); err != nil {
				return "", err
			}
			continue
		}
		for _, e := range region.extents.merged() {
			if err := binary.Write(h, binary.LittleEndian, [2]int64{e.start, e.end}); err != nil {
				return "", err
			}
			if err := hashData(ctx, h, r, e); err != nil {
				return "", err
			}
		}
	}
	return "disk-prefix-" + hex.EncodeToString(h.Sum(nil)), nil
}

// wait until the region is written, unless it need not be.
func (r *region) wait(ctx context.Context, skip bool) error {
	if skip {
		return nil
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// resume sets h to the state after the prefix, if the cache has it.
func (p *plan) resume(h hash.Hash, key string) bool {
	if p.Cache == nil {
		return false
	}
	value, err := p.Cache.Get(key)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		err = restore(h, value)
	}
	if err != nil {
		p.Log.Warn("hashing the disk from its start, which takes seconds", "why", err)
		h.Reset()
	}
	return err == nil
}

func (p *plan) save(h hash.Hash, key string) {
	if p.Cache == nil {
		return
	}
	value, err := state(h)
	if err == nil {
		err = p.Cache.Put(key, value)
	}
	if err != nil {
		p.Log.Warn("the next disk of this image will be hashed from its start", "why", err)
	}
}

// state is the state of h, with a checksum: a damaged one would make a digest
// that looks right.
func state(h hash.Hash) ([]byte, error) {
	value, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("saving the state of SHA-256: %w", err)
	}
	sum := sha256.Sum256(value)
	return append(value, sum[:]...), nil
}

func restore(h hash.Hash, value []byte) error {
	n := len(value) - sha256.Size
	if n < 0 {
		return fmt.Errorf("saved state of SHA-256: %d bytes are too few", len(value))
	}
	if sum := sha256.Sum256(value[:n]); !bytes.Equal(sum[:], value[n:]) {
		return errors.New("saved state of SHA-256: it is damaged")
	}
	return h.(encoding.BinaryUnmarshaler).UnmarshalBinary(value[:n])
}

func hashRegions(ctx context.Context, h hash.Hash, r io.ReaderAt, regions []*region) error {
	for _, region := range regions {
		if err := region.wait(ctx, false); err != nil {
			return err
		}
		at := region.start
		for _, e := range region.extents.merged() {
			if err := errors.Join(hashZeros(ctx, h, e.start-at), hashData(ctx, h, r, e)); err != nil {
				return err
			}
			at = e.end
		}
		if err := hashZeros(ctx, h, region.end-at); err != nil {
			return err
		}
	}
	return nil
}

func hashZeros(ctx context.Context, h hash.Hash, n int64) error {
	for ; n > 0; n -= hashStep {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h.Write(zeros[:min(n, hashStep)])
	}
	return nil
}

func hashData(ctx context.Context, h hash.Hash, r io.ReaderAt, e extent) error {
	buf := make([]byte, min(hashStep, e.end-e.start))
	for at := e.start; at < e.end; at += hashStep {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b := buf[:min(hashStep, e.end-at)]
		if _, err := r.ReadAt(b, at); err != nil {
			return fmt.Errorf("reading back what was written at %d: %w", at, err)
		}
		h.Write(b)
	}
	return nil
}
