// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"sync"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// A recorder passes steps to the reporter and keeps them for build.json. It is safe
// for concurrent use.
type recorder struct {
	to    progress.Reporter
	mu    sync.Mutex
	steps []Step
}

// step runs do as a step. do returns whether its result was there already.
func (r *recorder) step(name string, do func(progress.Step) (cached bool, err error)) error {
	start := time.Now()
	shown := r.to.Step(name)
	cached, err := do(shown)
	shown.Done(cached, err)
	r.add(Step{Name: name, Seconds: time.Since(start).Round(time.Millisecond).Seconds(), Cached: cached})
	return err
}

func (r *recorder) add(s Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, s)
}
