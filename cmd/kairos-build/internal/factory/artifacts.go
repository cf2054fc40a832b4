// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Files in a build's folder.
const (
	imageName  = "image"
	rawName    = "disk.raw"
	resultName = "build.json"
)

// kindRaw is the kind of a raw disk.
const kindRaw = "raw"

// An artifact is an output that a build makes from an image.
type artifact struct {
	name string // for --artifact; empty: it is always made
	file string // in the output folder
	make func(*build, context.Context, *madeImage, *Result) error
}

// artifacts lists the artifacts in the order in which they are made and published.
// The presence of the last means that all others are complete.
func artifacts() []artifact {
	return []artifact{
		{"image", imageName, (*build).addImage},
		{kindRaw, rawName, (*build).addRaw},
		{"", resultName, (*build).writeResult},
	}
}

// Artifacts lists what users can ask for.
func Artifacts() []string {
	var names []string
	for _, a := range artifacts() {
		if a.name != "" {
			names = append(names, a.name)
		}
	}
	return names
}

// makeArtifacts makes the artifacts of the options, and then publishes them.
func (b *build) makeArtifacts(ctx context.Context, image *madeImage, r *Result) error {
	var made []string
	for _, a := range artifacts() {
		if a.name != "" && !slices.Contains(b.Artifacts, a.name) {
			continue
		}
		if err := a.make(b, ctx, image, r); err != nil {
			return err
		}
		made = append(made, a.file)
	}
	for _, file := range made {
		if !exists(b.out.staged(file)) {
			continue // it is in its place already
		}
		if err := b.out.publish(file); err != nil {
			return err
		}
	}
	return nil
}

func (b *build) addImage(_ context.Context, image *madeImage, r *Result) error {
	r.Image = &image.Image
	return nil
}

// writeResult writes build.json.
func (b *build) writeResult(_ context.Context, _ *madeImage, r *Result) error {
	r.Steps = b.steps
	r.Seconds = time.Since(b.started).Round(time.Millisecond).Seconds()
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.out.staged(resultName), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", resultName, err)
	}
	return nil
}
