// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
)

// A Builder is an engine that is open only while it executes a graph.
type Builder struct{ Options }

// Check tells whether Solve has what it needs; see Check.
func (b Builder) Check(ctx context.Context) error { return Check(ctx, b.Options) }

// Solve opens the engine, executes the graph and closes it.
func (b Builder) Solve(ctx context.Context, r Request) (result Result, err error) {
	e, err := Open(ctx, b.Options)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.Solve(ctx, r)
}
