// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// Files in a build's folder.
const (
	imageName  = "image"
	rawName    = "disk.raw"
	resultName = "build.json"
	// checksumName is a line of sha256sum(1).
	checksumName = rawName + ".sha256"
)

// kindRaw is the kind of a raw disk; kindChecksum is the artifact with its checksum.
const (
	kindRaw      = "raw"
	kindChecksum = "sha256"
)

// An artifact is an output that a build makes from an image.
type artifact struct {
	name string                                                   // for --artifact; empty: it is always made
	file string                                                   // in the output folder
	make func(*build, context.Context, *madeImage, *Result) error // nil: the row before makes it, too
}

// artifacts lists the artifacts in the order in which they are made and published.
// The presence of the last means that all others are complete.
func artifacts() []artifact {
	return []artifact{
		{"image", imageName, (*build).addImage},
		{kindRaw, rawName, (*build).addRaw},
		{kindChecksum, checksumName, (*build).addChecksum},
		{kindISO, isoName, (*build).addISO},
		{"", evidence.SPDXName, (*build).addEvidence},
		{"", evidence.CycloneDXName, nil},
		{"", evidence.ProvenanceName, nil},
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

// DefaultArtifacts lists what is made if nothing is asked for: not the ISO, and not the
// checksum. Hashing the whole disk,
// most of which is a hole, takes longer than making it: docs/evidence.md has the figures.
func DefaultArtifacts() []string {
	return slices.DeleteFunc(Artifacts(), func(name string) bool { return name == kindChecksum || name == kindISO })
}

// makeArtifacts makes the artifacts of the options, and then publishes them.
func (b *build) makeArtifacts(ctx context.Context, image *madeImage, r *Result) error {
	var made []string
	for _, a := range artifacts() {
		if a.name != "" && !slices.Contains(b.Artifacts, a.name) {
			continue
		}
		if a.make != nil {
			if err := a.make(b, ctx, image, r); err != nil {
				return err
			}
		}
		made = append(made, a.file)
	}
	if err := b.removeOutdated(made); err != nil {
		return err
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

// removeOutdated removes what is about the outputs of before: the checksum of a disk, and
// signatures.
func (b *build) removeOutdated(made []string) error {
	var all []error
	for _, file := range made {
		all = append(all, removeIfThere(b.out.path(file+verify.BundleSuffix)))
	}
	if slices.Contains(made, rawName) && !slices.Contains(made, checksumName) {
		all = append(all, removeIfThere(b.out.path(checksumName)), removeIfThere(b.out.path(checksumName+verify.BundleSuffix)))
	}
	return errors.Join(all...)
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
