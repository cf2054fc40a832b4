// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"context"
	"runtime"
)

// An ordered does work on all processors, and hands over the results one by one, in the
// order in which the work came.
type ordered[T any] struct {
	results chan chan result[T]
	workers chan struct{} // holds one element for each running worker
	done    chan struct{} // closed when all results are used
	failed  chan struct{} // closed at the first error
	err     error         // valid when failed is closed
}

type result[T any] struct {
	value T
	err   error
}

// newOrdered begins. Only one call of use runs at a time.
func newOrdered[T any](ctx context.Context, use func(T) error) *ordered[T] {
	n := runtime.GOMAXPROCS(0)
	o := &ordered[T]{
		results: make(chan chan result[T], 2*n), workers: make(chan struct{}, n),
		done: make(chan struct{}), failed: make(chan struct{}),
	}
	go o.run(ctx, use)
	return o
}

// run uses results until there are no more; after an error it only receives them.
func (o *ordered[T]) run(ctx context.Context, use func(T) error) {
	defer close(o.done)
	for next := range o.results {
		r := <-next
		if o.err != nil {
			continue
		}
		if r.err == nil {
			r.err = context.Cause(ctx)
		}
		if r.err == nil {
			r.err = use(r.value)
		}
		if r.err != nil {
			o.err = r.err
			close(o.failed)
		}
	}
}

// do begins work. The error may be one of earlier work.
func (o *ordered[T]) do(work func() (T, error)) error {
	next := make(chan result[T], 1)
	select {
	case <-o.failed:
		return o.err
	case o.results <- next:
	}
	o.workers <- struct{}{}
	go func() {
		value, err := work()
		<-o.workers
		next <- result[T]{value, err}
	}()
	return nil
}

// close waits for all work.
func (o *ordered[T]) close() error {
	close(o.results)
	<-o.done
	return o.err
}
