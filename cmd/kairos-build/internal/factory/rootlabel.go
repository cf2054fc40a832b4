// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source"
)

// labelRoot gives the image the label layout.LabelRoot if its kernel takes no EROFS, and says
// so. A step of the graph chose the format. An image that is made from this one with a
// Dockerfile inherits the label.
func (b *build) labelRoot(dir string) error {
	image, err := source.Layout(dir, v1.Platform{OS: "linux", Architecture: b.recipe.Arch})
	if err != nil {
		return err
	}
	files, err := source.Files(image, layout.ImageRoot[1:])
	if err != nil {
		return err
	}
	format, why, _ := strings.Cut(strings.TrimSpace(string(files[layout.ImageRoot[1:]])), "\n")
	if layout.FileSystem(format) != layout.SquashFS {
		return nil
	}
	b.Log.Warn("the root image is SquashFS, not EROFS: " + why)
	if err := label(dir, layout.LabelRoot, format); err != nil {
		return fmt.Errorf("labelling the image: %w", err)
	}
	return nil
}

// label adds a label to the configuration of a layout with one image.
func label(dir, key, value string) error {
	desc, manifest, err := readLayout(dir)
	if err != nil {
		return err
	}
	old := blobPath(dir, manifest.Config.Digest)
	var config ocispec.Image
	if err := readJSON(old, &config); err != nil {
		return err
	}
	if config.Config.Labels == nil {
		config.Config.Labels = map[string]string{}
	}
	config.Config.Labels[key] = value
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	manifest.Config.Digest, manifest.Config.Size = digest.FromBytes(data), int64(len(data))
	if err := os.WriteFile(blobPath(dir, manifest.Config.Digest), data, 0o644); err != nil {
		return err
	}
	if err := replaceManifest(dir, desc, manifest); err != nil {
		return err
	}
	return os.Remove(old)
}
