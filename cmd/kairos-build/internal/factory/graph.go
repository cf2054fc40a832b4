// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"

	"github.com/moby/buildkit/client/llb"
	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/rootfs"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
	"github.com/kairos-build/kairos-build/recipes"
)

// storeID names the inputs to the engine.
const storeID = "kairos-build-inputs"

// A graph is a marshalled recipe with the key of its result: equal keys mean equal
// images.
type graph struct {
	definition *llb.Definition
	key        string
	hermetic   bool // no step has a network
}

// graph adds missing inputs to the store and marshals the recipe.
func (b *build) graph(ctx context.Context, set *packages.Set) (*graph, error) {
	in, err := b.gather(ctx, set)
	if err != nil {
		return nil, err
	}
	state, err := b.recipe.State(in)
	if err != nil {
		return nil, err
	}
	definition, err := state.Marshal(ctx, llb.Platform(b.recipe.Image().Platform))
	if err != nil {
		return nil, fmt.Errorf("marshalling the recipe: %w", err)
	}
	image, err := json.Marshal(b.recipe.Image())
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, op := range definition.Def {
		sum.Write(op)
	}
	sum.Write(image)
	hermetic, err := b.check(definition)
	return &graph{definition, hex.EncodeToString(sum.Sum(nil)), hermetic}, err
}

func openInputs(dir string, log *slog.Logger) (*inputs.Store, error) {
	blobs, err := engine.Store(dir, log)
	if err != nil {
		return nil, fmt.Errorf("opening the store of inputs: %w", err)
	}
	return inputs.Open(dir, blobs)
}

// gather completes the recipe and fills its inputs.
func (b *build) gather(ctx context.Context, set *packages.Set) (recipes.Inputs, error) {
	in, lock, sources := recipes.Inputs{}, recipes.Lock{Epoch: set.Epoch}, set.Inputs
	if b.Base != "" {
		base, err := b.openBase(ctx)
		if err != nil {
			return nil, err
		}
		if sources, err = set.Over(base.database); err != nil {
			return nil, badInput(fmt.Errorf("%s: %w", b.Base, err))
		}
		in[recipes.InputBase], lock.Base = base.state, base.name
		b.origins.base = &base.name
	}
	if b.release != nil {
		lock.Kubernetes = b.release.Version
	}
	var err error
	if b.recipe, err = recipes.Resolve(b.choice.Flavor, lock, b.choice.Options); err != nil {
		return nil, badInput(err)
	}
	programs, err := b.programs(ctx)
	if err != nil {
		return nil, err
	}
	parts, err := b.parts()
	if err != nil {
		return nil, err
	}
	brought, err := b.bringAll(ctx, slices.Concat(sources, programs, parts))
	maps.Copy(in, brought)
	return in, err
}

// bringAll makes sure that inputs are in the store. While the base is decompressed, which takes
// the processors, the others are downloaded. The first that fails ends the others.
func (b *build) bringAll(ctx context.Context, sources []inputs.Source) (recipes.Inputs, error) {
	brought := make([]inputs.Input, len(sources))
	all, ctx := errgroup.WithContext(ctx)
	for i, s := range sources {
		all.Go(func() (err error) {
			brought[i], err = b.bring(ctx, s)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	in := recipes.Inputs{}
	for _, s := range brought {
		b.digests = append(b.digests, Input{Name: s.Name, Digest: s.Digest.String()})
		b.origins.inputs = append(b.origins.inputs, evidence.Named("input "+s.Name, s.Digest.String()))
		in[s.Name] = stored(s, s.Name)
	}
	return in, nil
}

// parts are the inputs of the parts that not every image has.
func (b *build) parts() ([]inputs.Source, error) {
	parts, err := b.siteInput()
	if b.release == nil || err != nil {
		return parts, err
	}
	more, err := b.release.Inputs(b.recipe.Epoch)
	return append(parts, more...), err
}

// programs are the inputs that come with kairos-build itself.
func (b *build) programs(ctx context.Context) ([]inputs.Source, error) {
	assemble, assembleErr := b.assemble(ctx)
	init, initErr := b.program(payload.Init)
	agent, agentErr := b.program(payload.Agent)
	framework, frameworkErr := frameworkFiles()
	if err := errors.Join(assembleErr, initErr, agentErr, frameworkErr); err != nil {
		return nil, err
	}
	agent[0].Path = "usr/bin/" + payload.Agent
	var list []inputs.Source
	for _, in := range []struct {
		name  string
		files []inputs.File
	}{
		{recipes.InputAssemble, assemble}, {recipes.InputInit, init},
		{recipes.InputFramework, framework}, {recipes.InputAgent, agent}, {recipes.InputRelease, b.releaseFiles()},
	} {
		tree, err := b.tree(in.name, in.files)
		if err != nil {
			return nil, err
		}
		list = append(list, tree)
	}
	return list, nil
}

// program is a program for the nodes.
func (b *build) program(name string) ([]inputs.File, error) { return b.programFor(b.recipe.Arch, name) }

// assemble is the program that the steps run, for the builder's own processor: where the steps
// are for another one, only the distribution's programs are emulated. It is the image's own
// where this kairos-build has none for the builder.
func (b *build) assemble(ctx context.Context) ([]inputs.File, error) {
	arch, err := b.Builder.Native(ctx)
	if err != nil {
		return nil, err
	}
	files, err := b.programFor(arch, payload.Assemble)
	if errors.Is(err, payload.ErrNotBuilt) {
		return b.program(payload.Assemble)
	}
	return files, err
}

func (b *build) programFor(arch, name string) ([]inputs.File, error) {
	data, err := b.Program(arch, name)
	if err != nil {
		return nil, err
	}
	b.origins.program(name, data)
	return []inputs.File{{Path: name, Mode: 0o755, Data: data}}, nil
}

func (b *build) releaseFiles() []inputs.File {
	var files []inputs.File
	for _, f := range b.recipe.ReleaseFiles() {
		files = append(files, inputs.File{Path: f.Path, Mode: 0o644, Data: f.Data, Link: f.Link, Dir: f.Dir})
	}
	return files
}

// tree is an input made of files. Its key is the digest of their tar stream, which is
// written to the store only if it is not there.
func (b *build) tree(name string, files []inputs.File) (inputs.Source, error) {
	sum := sha256.New()
	if err := inputs.Tree(sum, files, b.recipe.Epoch); err != nil {
		return inputs.Source{}, fmt.Errorf("input %s: %w", name, err)
	}
	return inputs.Source{Name: name, Key: sum.Sum(nil), Write: func(_ context.Context, w io.Writer, _ inputs.Report) error {
		return inputs.Tree(w, files, b.recipe.Epoch)
	}}, nil
}

// frameworkFiles are the files that are copied into the image as they are.
func frameworkFiles() (files []inputs.File, _ error) {
	err := rootfs.Walk(func(path string, mode fs.FileMode, data []byte, link string) error {
		files = append(files, inputs.File{Path: path, Mode: mode, Data: data, Link: link})
		return nil
	})
	return files, err
}

// bring makes sure that an input is in the store.
func (b *build) bring(ctx context.Context, s inputs.Source) (in inputs.Input, err error) {
	key := s.StoreKey(b.recipe.Epoch, b.recipe.Arch)
	err = b.step("input: "+s.Name, func(step progress.Step) (cached bool, err error) {
		in, err = b.inputs.Add(ctx, s.Name, b.recipe.Arch, key, func(w io.Writer) error { return s.Write(ctx, w, step.Progress) })
		if err != nil && ctx.Err() != nil { // another input failed, or somebody ended the build
			return false, fmt.Errorf("%w: %w", progress.ErrInterrupted, err)
		}
		return in.Cached, b.advise(err)
	})
	return in, err
}

// stored is an input in the store, as a state of the graph.
func stored(in inputs.Input, name string) llb.State {
	return llb.OCILayout(in.Ref(), llb.OCIStore("", storeID), llb.WithCustomName("input "+name))
}

// key is the digest of everything that the outputs depend on.
func (b *build) key(g *graph) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n%q\n%q\n%s\n%+v\n%s\n%s\n", g.key, b.Version, b.Artifacts, b.Compress, builderID(), b.Sizes, b.locked.digestText(), b.choice.Flavor.Digest())
	for _, c := range b.configs {
		fmt.Fprintf(sum, "%d\n", len(c.data))
		sum.Write(c.data)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// builderID identifies this program, so that a new version does not reuse the outputs
// of an old one.
func builderID() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	s, err := stampOf(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d", s.Size, s.MTime)
}
