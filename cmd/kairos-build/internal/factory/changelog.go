// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/changelog"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/diff"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// Changelog says what is new in B. compare orders versions of packages.
func Changelog(ctx context.Context, o DiffOptions, compare func(a, b string) int) (*changelog.Changelog, error) {
	rec := &recorder{to: o.Progress}
	var sides [2]*diff.Side
	err := rec.step("reading "+o.A+" and "+o.B, func(progress.Step) (_ bool, err error) {
		sides, err = o.read(ctx)
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return changelog.Make(sides[0], sides[1], compare), nil
}
