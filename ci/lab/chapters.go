// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"time"
)

// A Chapter is one thing that happens to the node. When it ends otherwise than
// it must, the rest is not told: nobody knows what the node is then.
type Chapter struct {
	Name, Title string
	Do          func(context.Context) (string, error)
}

// Tell goes through the chapters. Independent ones need the first one only: they
// are told after another that failed, too.
func (m *Machine) Tell(ctx context.Context, independent bool, chapters []Chapter) {
	for i, c := range chapters {
		begin := time.Now()
		message, err := c.Do(ctx)
		m.Conclude(c.Name, c.Title, time.Since(begin), message, err)
		if err != nil && (i == 0 || !independent) {
			for _, rest := range chapters[i+1:] {
				m.Skip(rest.Name, rest.Title, "the step before did not end as it must")
			}
			return
		}
	}
}
