// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"context"
	"path"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Progress is the progress of a Fetch.
type Progress struct {
	Done, Total       int64  // bytes, those found in the cache included
	Files, TotalFiles int    // complete packages, and all packages
	Name              string // the package that progressed last
}

// Fetch puts every package's file into the cache and returns the paths, in the order
// of the packages. It verifies every file, new or cached. report, if not nil, is
// called from one goroutine at a time.
func (p *Pool) Fetch(ctx context.Context, packages []*Package, report func(Progress)) ([]string, error) {
	paths := make([]string, len(packages))
	order := make([]int, len(packages))
	t := &tally{report: report, files: make([]int64, len(packages)), p: Progress{TotalFiles: len(packages)}}
	for i, pkg := range packages {
		order[i] = i
		t.p.Total += pkg.Size
	}
	// The largest first: a large download at the end would run alone.
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(packages[y].Size, packages[x].Size) })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.o.Parallel)
	for _, i := range order {
		g.Go(func() (err error) {
			paths[i], err = p.fetchOne(ctx, packages[i], func(n int64) { t.move(i, n, packages[i]) })
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return paths, nil
}

func (p *Pool) fetchOne(ctx context.Context, pkg *Package, seen func(int64)) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	b := blob{urls: []string{pkg.URL}, sha256: pkg.SHA256, size: pkg.Size, suffix: path.Ext(pkg.Filename), voucher: "the verified package index", seen: seen}
	if pkg.Locked != nil {
		b = pkg.Locked.blob(pkg, b)
	}
	return p.store.fetch(ctx, b)
}

// tally adds up the progress of parallel downloads.
type tally struct {
	mu     sync.Mutex
	p      Progress
	files  []int64
	report func(Progress)
}

// move records that package i has n bytes.
func (t *tally) move(i int, n int64, pkg *Package) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.files[i]
	t.files[i] = n
	t.p.Done += n - before
	t.p.Name = pkg.Name
	if n == pkg.Size && before != n {
		t.p.Files++
	} else if before == pkg.Size && n != before {
		t.p.Files--
	}
	if t.report != nil {
		t.report(t.p)
	}
}
