// SPDX-License-Identifier: Apache-2.0

// Package factory is the order of the steps: from a flavor's name to an OCI
// image and a bootable disk. Each step is another package's; this one decides
// what has to run, keeps what is unchanged, and puts the outputs in their
// place only when they are complete.
package factory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/recipes"
)

// build is one run of Build.
type build struct {
	Options
	recorder
	downloads downloads
	stateDir  string
	started   time.Time
	configs   []cloudConfig
	recipe    *recipes.Recipe
	out       *outputs
	inputs    *inputs.Store
	digests   []Input
}

// Build makes the image and the disks of a flavor. Nothing is written before
// the options, the cloud-configs, the flavor and the engine have been checked.
// When an error is returned, outputs of an earlier build are as they were.
func Build(ctx context.Context, o Options) (*Result, error) {
	b, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if b.out, err = openOutputs(ctx, b.Dir, b.stateDir, func() {
		b.Log.Warn("waiting for another build to finish with the output folder", "folder", b.Dir)
	}); err != nil {
		return nil, err
	}
	result, err := b.run(ctx)
	return result, errors.Join(err, b.out.close())
}

// prepare checks everything that can be checked without network or engine.
func prepare(ctx context.Context, o Options) (*build, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &build{Options: o, recorder: recorder{to: o.Progress}, started: time.Now()}
	flavor, err := flavors.Load(o.Flavor)
	if err != nil {
		return nil, badInput(err)
	}
	b.recipe, err = recipes.Resolve(flavor, recipes.Options{Arch: o.Arch, Model: o.Model, Version: o.Version, MountPoints: o.MountPoints})
	if err != nil {
		return nil, badInput(err)
	}
	if err := slotimage.CheckCmdline(flavor.Models[b.recipe.Model].Cmdline, slotLoader{}); err != nil {
		return nil, badInput(fmt.Errorf("flavor %s, model %s: %w", o.Flavor, b.recipe.Model, err))
	}
	if b.configs, err = readConfigs(o.CloudConfigs, o.Configs, o.Log); err != nil {
		return nil, err
	}
	if b.stateDir, b.Engine, err = State(o.Engine); err != nil {
		return nil, err
	}
	return b, engine.Check(ctx, b.Engine)
}

// run is the build itself.
func (b *build) run(ctx context.Context) (*Result, error) {
	packages, err := b.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if b.inputs, err = openInputs(filepath.Join(b.stateDir, "inputs"), b.Log); err != nil {
		return nil, err
	}
	graph, err := b.graph(ctx, packages)
	if err != nil {
		return nil, err
	}
	if result := b.unchanged(graph); result != nil {
		return result, nil
	}
	image, err := b.makeImage(ctx, graph)
	if err != nil {
		return nil, err
	}
	result := b.result(image)
	if slices.Contains(b.Artifacts, ArtifactRaw) {
		disk, err := b.makeDisk(ctx, image)
		if err != nil {
			return nil, err
		}
		result.Disks = append(result.Disks, disk)
	}
	return result, b.finish(result, graph)
}

// resolve reads the signed archive and decides which packages go in.
func (b *build) resolve(ctx context.Context) (set *packageSet, err error) {
	err = b.step("archive: verify and resolve", func(progress.Step) (bool, error) {
		a, err := b.openArchive(ctx, b.recipe.Flavor, b.recipe.Arch)
		if err != nil {
			return false, err
		}
		b.recipe.Epoch = epoch(a)
		for _, release := range a.Releases() {
			b.digests = append(b.digests, Input{Name: "release " + fetch.Shown(release.URL), Digest: "sha256:" + release.SHA256})
		}
		set, err = resolvePackages(a, b.recipe)
		return false, err
	})
	return set, err
}

// result describes what was made.
func (b *build) result(image *madeImage) *Result {
	r := &Result{
		Format: FormatVersion, Flavor: b.Flavor, Version: b.Version,
		Architecture: b.recipe.Arch, Model: b.recipe.Model,
		Created: b.recipe.Epoch.Format(time.RFC3339),
		Inputs:  append(b.digests, configInputs(b.configs)...), Disks: []Disk{}, Dir: b.out.dir,
	}
	if slices.Contains(b.Artifacts, ArtifactImage) {
		r.Image = &image.Image
	}
	return r
}

// finish writes build.json, moves everything to its place and removes what
// was not asked for this time.
func (b *build) finish(r *Result, g *graph) error {
	r.Steps = b.steps
	r.Seconds = time.Since(b.started).Round(time.Millisecond).Seconds()
	data, err := r.marshal()
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.out.staged(resultName), data, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", resultName, err)
	}
	imageKey := g.key
	if r.Image == nil {
		imageKey = "" // what is there is another build's
	}
	for _, name := range b.publishable(r) {
		if err := b.out.publish(name); err != nil {
			return err
		}
	}
	return b.out.remember(b.key(g), imageKey)
}

// publishable lists the outputs that were made and asked for, build.json last.
func (b *build) publishable(r *Result) []string {
	var names []string
	if r.Image != nil && exists(b.out.staged(imageName)) {
		names = append(names, imageName)
	}
	if len(r.Disks) > 0 {
		names = append(names, rawName)
	}
	return append(names, resultName)
}

// unchanged returns the recorded result when nothing that the outputs depend
// on has changed and nobody touched them.
func (b *build) unchanged(g *graph) *Result {
	s, ok := b.out.recall()
	if !ok || s.Key != b.key(g) {
		return nil
	}
	r, err := readResult(b.out.path(resultName))
	if err != nil {
		return nil
	}
	r.Dir = b.out.dir
	r.Steps = append(b.steps, Step{Name: "nothing changed", Cached: true})
	r.Seconds = time.Since(b.started).Round(time.Millisecond).Seconds()
	return r
}
