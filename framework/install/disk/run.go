// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
)

// run writes the disk to file, and digests it meanwhile. whole is empty if nobody wants it.
func (p *plan) run(ctx context.Context, file *os.File) (extents []Extent, whole string, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.write(ctx, file) })
	g.Go(func() (err error) {
		extents, err = p.digests(ctx, file)
		return err
	})
	if p.Whole {
		g.Go(func() (err error) {
			whole, err = p.whole(ctx, file)
			return err
		})
	}
	err = g.Wait()
	return extents, whole, err
}

func (p *plan) write(ctx context.Context, file *os.File) error {
	for _, r := range p.regions {
		if err := p.fill(ctx, r, file); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
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
	if err == nil {
		close(r.done)
	}
	return err
}
