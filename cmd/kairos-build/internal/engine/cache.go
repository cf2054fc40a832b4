// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
)

// Record is one entry of the cache.
type Record struct {
	ID          string    `json:"id"`
	Size        int64     `json:"size"` // bytes
	Created     time.Time `json:"created"`
	LastUsed    time.Time `json:"last_used,omitzero"` // zero: never used since it was made
	Description string    `json:"description"`
	InUse       bool      `json:"in_use"`
}

// Usage lists the cache, the most recently used entries first.
func (e *Engine) Usage(ctx context.Context) ([]Record, error) {
	infos, err := e.client.DiskUsage(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the engine's cache: %w", rootCause(err))
	}
	records := make([]Record, 0, len(infos))
	for _, info := range infos {
		records = append(records, newCacheRecord(*info))
	}
	slices.SortFunc(records, func(a, b Record) int {
		return cmp.Or(b.used().Compare(a.used()), cmp.Compare(a.ID, b.ID))
	})
	return records, nil
}

// PruneOptions say what to delete. The zero value deletes all entries that no build
// uses now and that are not internal to the engine.
type PruneOptions struct {
	All   bool          // internal entries, too
	Older time.Duration // keep what was used within this time
	Keep  int64         // keep this many bytes, the most recently used ones
}

// Prune deletes from the cache and returns what it deleted.
func (e *Engine) Prune(ctx context.Context, o PruneOptions) ([]Record, error) {
	opts := []client.PruneOption{client.WithKeepOpt(o.Older, 0, o.Keep, 0)}
	if o.All {
		opts = append(opts, client.PruneAll)
	}
	var records []Record
	pruned, done := make(chan client.UsageInfo), make(chan struct{})
	go func() {
		defer close(done)
		for info := range pruned {
			records = append(records, newCacheRecord(info))
		}
	}()
	err := e.client.Prune(ctx, pruned, opts...)
	close(pruned)
	<-done
	if err != nil {
		return records, fmt.Errorf("pruning the engine's cache: %w", rootCause(err))
	}
	return records, nil
}

func newCacheRecord(info client.UsageInfo) Record {
	r := Record{ID: info.ID, Size: info.Size, Created: info.CreatedAt, Description: info.Description, InUse: info.InUse}
	if info.LastUsedAt != nil {
		r.LastUsed = *info.LastUsedAt
	}
	return r
}

// used is the time of the last use, or of the creation if there was none.
func (r Record) used() time.Time {
	if r.LastUsed.IsZero() {
		return r.Created
	}
	return r.LastUsed
}
