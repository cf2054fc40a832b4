// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"github.com/moby/buildkit/client/llb"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/rootfs"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
	"github.com/kairos-build/kairos-build/recipes"
)

// storeID names the inputs to the engine.
const storeID = "kairos-build-inputs"

// A graph is a marshalled recipe with the key of its result: the same key,
// the same image.
type graph struct {
	definition *llb.Definition
	key        string
}

// graph brings the inputs into the store, as far as they are not there, and
// marshals the recipe.
func (b *build) graph(ctx context.Context, set *packageSet) (*graph, error) {
	in, err := b.gather(ctx, set)
	if err != nil {
		return nil, err
	}
	state, err := b.recipe.State(*in)
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
	return &graph{definition, hex.EncodeToString(sum.Sum(nil))}, nil
}

func openInputs(dir string, log *slog.Logger) (*inputs.Store, error) {
	blobs, err := engine.Store(dir, log)
	if err != nil {
		return nil, fmt.Errorf("opening the store of inputs: %w", err)
	}
	return inputs.Open(dir, blobs)
}

// wanted is one input that may have to be written.
type wanted struct {
	name  string
	key   []byte // decides the content
	write func(context.Context, io.Writer) error
	into  *llb.State
}

// gather fills a recipe's inputs.
func (b *build) gather(ctx context.Context, set *packageSet) (*recipes.Inputs, error) {
	in := &recipes.Inputs{}
	list, err := b.base(ctx, set, in)
	if err != nil {
		return nil, err
	}
	for _, debs := range []struct {
		name     string
		packages []*archive.Package
		into     *llb.State
	}{
		{"packages", set.packages, &in.Packages}, {"tools", set.tools, &in.Tools},
		{"kernel", set.kernel, &in.Kernel}, {"bootloader", set.bootloader, &in.Bootloader},
	} {
		list = append(list, wanted{debs.name, set.key(debs.packages), func(ctx context.Context, w io.Writer) error {
			return set.writeDebs(ctx, w, debs.packages, b.recipe.Epoch)
		}, debs.into})
	}
	programs, err := b.programs(in)
	if err != nil {
		return nil, err
	}
	for _, w := range append(list, programs...) {
		if err := b.bring(ctx, w); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// base is the root to start from: made from the archive's packages, or the
// user's image, to which everything of the archive that it lacks is added.
func (b *build) base(ctx context.Context, set *packageSet, in *recipes.Inputs) ([]wanted, error) {
	if b.Base == "" {
		return []wanted{{"base", set.key(set.base), func(ctx context.Context, w io.Writer) error {
			return set.writeBase(ctx, w, b.recipe.Epoch)
		}, &in.Base}}, nil
	}
	base, err := b.openBase(ctx)
	if err != nil {
		return nil, err
	}
	in.Base = base.state
	set.packages = base.missing(slices.Concat(set.base, set.packages))
	return nil, nil
}

// key is the digest of a list of packages and of how they are written.
func (s *packageSet) key(packages []*archive.Package) []byte { return archive.Lock(packages) }

// programs are the inputs that come with kairos-build itself.
func (b *build) programs(in *recipes.Inputs) ([]wanted, error) {
	var list []wanted
	for _, program := range []struct {
		name string
		into *llb.State
	}{{payload.Assemble, &in.Assemble}, {payload.Init, &in.Init}} {
		data, err := payload.Program(b.recipe.Arch, program.name)
		if err != nil {
			return nil, err
		}
		list = append(list, b.tree(program.name, []inputs.File{{Path: program.name, Mode: 0o755, Data: data}}, program.into))
	}
	files, err := frameworkFiles(b.recipe.Arch)
	if err != nil {
		return nil, err
	}
	return append(list, b.tree("framework", files, &in.Framework), b.tree("release", b.releaseFiles(), &in.Release)), nil
}

func (b *build) releaseFiles() []inputs.File {
	var files []inputs.File
	for _, f := range b.recipe.ReleaseFiles() {
		files = append(files, inputs.File{Path: f.Path, Mode: 0o644, Data: f.Data, Link: f.Link, Dir: f.Dir})
	}
	return files
}

// tree is an input made of files; its key is their tar stream's digest.
func (b *build) tree(name string, files []inputs.File, into *llb.State) wanted {
	var stream bytes.Buffer
	err := inputs.Tree(&stream, files, b.recipe.Epoch)
	return wanted{name, stream.Bytes(), func(_ context.Context, w io.Writer) error {
		if err != nil {
			return err
		}
		_, err := w.Write(stream.Bytes())
		return err
	}, into}
}

// frameworkFiles is what is copied into the image as it is: static files and
// the agent.
func frameworkFiles(arch string) ([]inputs.File, error) {
	agent, err := payload.Program(arch, payload.Agent)
	if err != nil {
		return nil, err
	}
	files := []inputs.File{{Path: "usr/bin/" + payload.Agent, Mode: 0o755, Data: agent}}
	err = rootfs.Walk(func(path string, mode fs.FileMode, data []byte, link string) error {
		files = append(files, inputs.File{Path: path, Mode: mode, Data: data, Link: link})
		return nil
	})
	return files, err
}

// bring makes sure that an input is in the store and hands it to the recipe.
func (b *build) bring(ctx context.Context, w wanted) error {
	sum := sha256.New()
	fmt.Fprintf(sum, "1 %d %s\n", b.recipe.Epoch.Unix(), b.recipe.Arch)
	sum.Write(w.key)
	key := hex.EncodeToString(sum.Sum(nil))
	var in inputs.Input
	err := b.step("input: "+w.name, func(step progress.Step) (bool, error) {
		b.downloads.step = step
		defer func() { b.downloads.step = nil }()
		var err error
		in, err = b.inputs.Add(ctx, w.name, b.recipe.Arch, key, func(out io.Writer) error { return w.write(ctx, out) })
		return in.Cached, err
	})
	if err != nil {
		return err
	}
	b.digests = append(b.digests, Input{Name: w.name, Digest: in.Digest.String()})
	*w.into = llb.OCILayout(in.Ref(), llb.OCIStore("", storeID), llb.WithCustomName("input "+w.name))
	return nil
}

// key is the digest of everything that the outputs depend on.
func (b *build) key(g *graph) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n%q\n%s\n%+v\n", g.key, b.Version, b.Artifacts, builderID(), b.Sizes)
	for _, c := range b.configs {
		fmt.Fprintf(sum, "%d\n", len(c.data))
		sum.Write(c.data)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// builderID identifies this program, so that a new one does not trust what an
// old one thought complete.
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
