// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"fmt"
	"os"
)

// run writes the disk to file and hashes it meanwhile.
func (p *plan) run(ctx context.Context, file *os.File) (digest, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sum := make(chan digest, 1)
	go func() {
		d, err := p.hash(ctx, file)
		if err != nil {
			cancel(err)
		}
		sum <- d
	}()
	if err := p.write(ctx, file); err != nil {
		cancel(err)
	}
	d := <-sum
	return d, context.Cause(ctx)
}

// write fills the regions: at first what the cache's key is made of, then the
// roots, then what a cloud-config can change.
func (p *plan) write(ctx context.Context, file *os.File) error {
	for _, roots := range []bool{false, true} {
		for _, r := range p.regions[:p.prefix] {
			if r.isRoot() != roots {
				continue
			}
			if err := p.fill(ctx, r, file); err != nil {
				return err
			}
		}
	}
	for _, r := range p.regions[p.prefix:] {
		if err := p.fill(ctx, r, file); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) fill(ctx context.Context, r *region, file *os.File) error {
	w := &target{ctx: ctx, file: file, region: r}
	var err error
	if r.isRoot() {
		err = copyRoot(ctx, w, r.start, p.Root, p.Image.Tree.Size)
	} else {
		err = r.write(w)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	close(r.done)
	return nil
}
