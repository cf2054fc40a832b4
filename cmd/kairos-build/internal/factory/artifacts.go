// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/virtualdisk"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// Files in a build's folder.
const (
	imageName  = "image"
	resultName = "build.json"
	diskName   = "disk" // of all disks, without the end that a format adds
	rawName    = diskName + ".raw"
	// checksumEnd is the end of the name of a file with a line of sha256sum(1).
	checksumEnd = ".sha256"
)

// kindRaw is the kind of a raw disk; kindChecksum is the artifact with the checksums of the
// disks.
const (
	kindRaw      = virtualdisk.Raw
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
	all := []artifact{{"image", imageName, (*build).addImage}}
	for _, f := range virtualdisk.Formats() {
		all = append(all, artifact{f.Name, diskName + f.Suffix, (*build).addDisks})
	}
	return append(all,
		artifact{kindISO, ISOName, (*build).addISO},
		artifact{netbootName, netbootName, (*build).addNetboot},
		artifact{kindChecksum, "", (*build).addChecksums}, // a file beside each disk
		artifact{"", evidence.SPDXName, (*build).addEvidence},
		artifact{"", evidence.CycloneDXName, nil},
		artifact{"", evidence.ProvenanceName, nil},
		artifact{"", resultName, (*build).writeResult},
	)
}

// files are the names that the artifact's file may have: a disk's end says how it is
// compressed, and its checksum is beside it.
func (a artifact) files() []string {
	if a.name == kindISO {
		return []string{a.file, a.file + checksumEnd}
	}
	if !isDiskKind(a.name) {
		return []string{a.file}
	}
	var all []string
	for _, end := range append([]string{""}, Compressions()...) {
		name := strings.TrimSuffix(a.file+"."+end, ".")
		all = append(all, name, name+checksumEnd)
	}
	return all
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

// DefaultArtifacts lists what is made if nothing is asked for. Hashing the whole disk, most
// of which is a hole, takes longer than making it: docs/evidence.md has the figures.
func DefaultArtifacts() []string { return []string{imageName, kindRaw} }

// makeArtifacts makes the artifacts of the options, and then publishes them.
func (b *build) makeArtifacts(ctx context.Context, image *madeImage, r *Result) error {
	var made []string
	for _, a := range artifacts() {
		if !b.keeps(a) {
			continue
		}
		if a.make != nil {
			if err := a.make(b, ctx, image, r); err != nil {
				return inPlace{err, b.out}
			}
		}
		made = append(made, a.files()...)
	}
	if err := b.removeOutdated(); err != nil {
		return err
	}
	for _, file := range made {
		if file == "" || !exists(b.out.staged(file)) {
			continue // it is in its place already, or was not asked for
		}
		if err := b.out.publish(file); err != nil {
			return err
		}
	}
	return nil
}

// removeOutdated removes what an earlier build left in the folder and this one does not
// replace, so that files of two builds never stand side by side: other artifacts, a disk
// that is compressed in another way, checksums, and all signatures.
func (b *build) removeOutdated() error {
	var removed []string
	for _, a := range artifacts() {
		for _, file := range a.files() {
			if file == "" {
				continue
			}
			if err := removeIfThere(b.out.path(file + verify.BundleSuffix)); err != nil {
				return err
			}
			if b.keeps(a) && (exists(b.out.staged(file)) || !a.several()) || !exists(b.out.path(file)) {
				continue
			}
			if err := os.RemoveAll(b.out.path(file)); err != nil {
				return fmt.Errorf("removing what an earlier build left: %w", err)
			}
			removed = append(removed, file)
		}
	}
	if len(removed) > 0 {
		b.Log.Info("removed what an earlier build left in "+b.out.dir, "files", strings.Join(removed, ", "))
	}
	return nil
}

// keeps tells whether the artifact is one of this build.
func (b *build) keeps(a artifact) bool { return a.name == "" || slices.Contains(b.Artifacts, a.name) }

// several tells whether the artifact is in one of several files: those that were not made
// now are older. An image or evidence that was not made now is in its place already.
func (a artifact) several() bool { return len(a.files()) > 1 }

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
