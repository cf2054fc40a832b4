// SPDX-License-Identifier: Apache-2.0

// Package factory runs the steps from a flavor's name to an OCI image and a bootable
// disk. Other packages implement the steps; factory decides which of them must run,
// keeps what is unchanged, and publishes the outputs only when they are complete. It
// knows no package manager, and reads neither the environment nor the host's
// configuration.
package factory

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/kubernetes"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/recipes"
)

// Packages is a package family.
type Packages interface {
	// Resolve verifies the distribution's archive, and finds in it the exact
	// packages of a choice.
	Resolve(ctx context.Context, c recipes.Choice) (*packages.Set, error)
	// Locked makes the set of a choice from a lock, and reads no archive. file names
	// the lock. An error about a package that no archive has any more, also a later one
	// of the set's inputs, wraps packages.ErrGone.
	Locked(c recipes.Choice, f packages.Facts, file string) (*packages.Set, error)
	// Database is the path, in an image, of the file that lists its packages.
	Database() string
	// BaseDatabases are the paths where a base image of the distribution may have that
	// file: the first that is there counts.
	BaseDatabases() []string
	// Installed reads that file: every package that the family's own tool lists.
	Installed(database []byte) ([]packages.Installed, error)
	// Type is the type of the family's packages in package URLs, such as deb.
	Type() string
}

// A Builder executes graphs.
type Builder interface {
	// Check tests, before anything is downloaded, whether Solve has what it needs.
	Check(ctx context.Context) error
	// Native is the architecture of the builder's own processor, as Go names it.
	Native(ctx context.Context) (string, error)
	// Solve executes a graph. The result has steps even if there is an error.
	Solve(ctx context.Context, r engine.Request) (engine.Result, error)
}

// Kubernetes finds the release of a Kubernetes.
type Kubernetes interface {
	// Kubernetes is the distribution.
	Kubernetes() release.Distribution
	// Find finds the exact release for an architecture. An error of the kind
	// kubernetes.ErrUnknown is about the version that the user asked for.
	Find(ctx context.Context, arch string) (*kubernetes.Release, error)
	// Locked is a release from a lock; file names the lock. The error wraps
	// kubernetes.ErrUnfit if the user asked for another one.
	Locked(l kubernetes.Locked, file string) (*kubernetes.Release, error)
	// Wanted is the version that the user asked for, such as v1.34.
	Wanted() string
	// Flags are the flags of the command line that ask for it, such as --k3s v1.34 --airgap.
	Flags() string
	// String is what the user asked for, such as k3s v1.34.
	String() string
}

// A Publisher publishes images in a registry.
type Publisher interface {
	// Publish publishes the images in the folders of builds; several become one index.
	Publish(ctx context.Context, dirs ...string) (*publish.Result, error)
}

// build is one run of Build.
type build struct {
	Options
	recorder
	packages Packages
	started  time.Time
	ref      string  // the flavor, as the user named it
	locked   *locked // nil: built from the archive as it is now
	configs  []cloudConfig
	files    []inputs.File // that are added to the flavor
	choice   recipes.Choice
	release  *kubernetes.Release // of the image's Kubernetes, or nil
	recipe   recipes.Recipe      // once the packages and the base are known
	out      *outputs
	inputs   *inputs.Store
	digests  []Input
	registry Publisher // nil: the image goes nowhere
	signer   Signer    // nil: nothing signs the image
	origins  origins   // for the evidence
}

// Build makes the image and the disks of a flavor, and publishes the image if it is
// asked to. It checks the options, the cloud-configs, the flavor, the engine and the
// registry before it writes outputs. After an error of building, the outputs of an
// earlier build are as they were; after one of publishing, the outputs are complete.
func Build(ctx context.Context, o Options) (*Result, error) {
	b, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if b.out, err = openOutputs(ctx, b.Dir, b.State, func() {
		b.Log.Warn("waiting for another build to finish with the output folder", "folder", b.Dir)
	}); err != nil {
		return nil, err
	}
	result, err := b.run(ctx)
	if err == nil {
		err = b.publish(ctx, result)
	}
	return result, errors.Join(err, b.out.close())
}

// publish publishes the image, if there is a registry for it.
func (b *build) publish(ctx context.Context, r *Result) (err error) {
	if b.registry == nil {
		return nil
	}
	if r.Published, err = b.registry.Publish(ctx, b.Dir); err != nil {
		return fmt.Errorf("%w (the build is complete: `kairos-build push %s REPO` publishes it)", err, b.Dir)
	}
	return nil
}

// prepare checks the options, the flavor and the cloud-configs, and then the engine.
func prepare(ctx context.Context, o Options) (*build, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &build{Options: o, recorder: recorder{to: o.Progress}, started: time.Now(), ref: o.Flavor}
	flavor, err := flavors.Open(o.Flavor)
	if err != nil {
		return nil, badInput(err)
	}
	b.Flavor = flavor.Name
	if err := b.choose(flavor); err != nil {
		return nil, badInput(err)
	}
	if b.Dir == "" {
		b.Dir = Folder(flavor.Name, b.choice.Arch)
	}
	if _, err := b.Program(b.choice.Arch, payload.Init); err != nil {
		return nil, err // before anything is downloaded
	}
	if b.packages = o.Families[flavor.Family]; b.packages == nil {
		return nil, fmt.Errorf("BUG: flavor %s: nothing resolves packages of the family %q", flavor.Name, flavor.Family)
	}
	if err := b.readLock(); err != nil {
		return nil, badInput(err)
	}
	if err := slotimage.CheckCmdline(b.choice.Cmdline(), slotLoader{}); err != nil {
		return nil, badInput(fmt.Errorf("flavor %s, model %s: %w", flavor.Name, b.choice.Model, err))
	}
	if b.configs, err = readConfigs(o.CloudConfigs, o.Configs, o.Log); err != nil {
		return nil, err
	}
	if b.Kubernetes == nil && b.Base == "" {
		if err := checkRelease(b.configs, release.Version{}); err != nil {
			return nil, err
		}
	}
	if err := MakeState(o.State); err != nil {
		return nil, err
	}
	if err := b.openTrust(ctx); err != nil {
		return nil, err
	}
	if err := o.Builder.Check(ctx); err != nil || o.Publish == nil {
		return b, err
	}
	b.registry, err = o.Publish(ctx)
	return b, err
}

// run is the build itself.
func (b *build) run(ctx context.Context) (_ *Result, err error) {
	if err := b.findKubernetes(ctx); err != nil {
		return nil, err
	}
	set, err := b.resolve(ctx)
	if err != nil {
		return nil, err
	}
	b.origins.archive = set.Facts
	if b.inputs, err = openInputs(filepath.Join(b.State, "inputs"), b.Log); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.inputs.Close()) }()
	graph, err := b.graph(ctx, set)
	if err != nil {
		return nil, err
	}
	if result := b.unchanged(graph); result != nil {
		return result, b.signAgain(ctx, graph)
	}
	b.origins.graph, b.origins.hermetic = "sha256:"+graph.key, graph.hermetic
	image, err := b.makeImage(ctx, graph)
	if err != nil {
		return nil, err
	}
	result := b.result()
	if err := b.makeArtifacts(ctx, image, result); err != nil {
		return nil, err
	}
	if err := b.sign(ctx); err != nil {
		return nil, err
	}
	imageKey := graph.key
	if result.Image == nil {
		imageKey = "" // the image in the folder is another build's
	}
	return result, b.out.remember(b.key(graph), imageKey)
}

// findKubernetes finds the release of the image's Kubernetes, if it has one.
func (b *build) findKubernetes(ctx context.Context) error {
	if b.Kubernetes == nil {
		return nil
	}
	if b.locked != nil {
		return b.useRelease()
	}
	return b.step("kubernetes: find "+b.Kubernetes.String(), func(progress.Step) (_ bool, err error) {
		if b.release, err = b.Kubernetes.Find(ctx, b.choice.Arch); errors.Is(err, kubernetes.ErrUnknown) {
			err = badInput(err)
		}
		if err != nil {
			return false, err
		}
		return false, b.useRelease()
	})
}

// useRelease notes the files of the release, and checks that the cloud-configs fit it.
func (b *build) useRelease() error {
	for _, f := range b.release.Files() {
		b.digests = append(b.digests, Input{Name: fmt.Sprintf("kubernetes %s %s", b.release.Version, f.Name), Digest: "sha256:" + f.SHA256})
	}
	return checkRelease(b.configs, b.release.Version)
}

// resolve finds the packages of the choice, in the lock or else in the archive.
func (b *build) resolve(ctx context.Context) (set *packages.Set, err error) {
	name, find := "archive: verify and resolve", func() (*packages.Set, error) { return b.packages.Resolve(ctx, b.choice) }
	if b.locked != nil {
		name, find = "lock: "+b.locked.file, b.lockedSet
	}
	err = b.step(name, func(progress.Step) (bool, error) {
		if set, err = find(); err != nil {
			return false, err
		}
		if err := b.checkRemoved(set); err != nil {
			return false, badInput(err)
		}
		for _, index := range set.Indexes {
			b.digests = append(b.digests, Input{Name: "release " + index.URL, Digest: "sha256:" + index.SHA256})
		}
		return false, nil
	})
	return set, err
}

// result describes the outputs before they are made.
func (b *build) result() *Result {
	return &Result{
		Format: FormatVersion, Flavor: b.Flavor, Version: b.Version,
		Architecture: b.recipe.Arch, Model: b.recipe.Model, Kubernetes: b.recipe.Lock.Kubernetes.String(),
		Created: b.recipe.Epoch.Format(time.RFC3339), Registry: b.choice.Flavor.Default.Registry,
		Inputs: append(b.digests, configInputs(b.configs)...), Disks: []Disk{}, Evidence: []Evidence{}, Dir: b.out.dir,
	}
}

// unchanged returns the recorded result if the outputs and everything that they
// depend on are as they were, else nil.
func (b *build) unchanged(g *graph) *Result {
	if b.out.recall().Key != b.key(g) {
		return nil
	}
	r := &Result{}
	if err := readJSON(b.out.path(resultName), r); err != nil {
		return nil
	}
	r.Dir = b.out.dir
	r.Steps = append(b.steps, Step{Name: "nothing changed", Cached: true})
	r.Seconds = time.Since(b.started).Round(time.Millisecond).Seconds()
	return r
}
