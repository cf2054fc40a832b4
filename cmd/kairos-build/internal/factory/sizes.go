// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/diff"
	"github.com/kairos-build/kairos-build/framework/source"
)

// PackageSizes are the sizes of the packages in the image of a build, the largest first.
func PackageSizes(ctx context.Context, dir, arch string) ([]diff.PackageSize, error) {
	image, _, err := openImage(ctx, dir, arch)
	if err != nil {
		return nil, err
	}
	layers, err := source.Layers(image, nil)
	if err != nil {
		return nil, err
	}
	trees, err := diff.ReadImages(ctx, layers)
	if err != nil {
		return nil, err
	}
	return trees[0].BySize(), nil
}
