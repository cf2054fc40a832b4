// SPDX-License-Identifier: Apache-2.0

package toolbox

import (
	"context"
	"crypto/sha256"
	_ "embed" // solve.py
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client/llb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/rpm"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/recipes"
)

// A Builder executes graphs.
type Builder interface {
	Solve(ctx context.Context, r engine.Request) (engine.Result, error)
}

// A Solver runs solve.py in the toolbox. It keeps its answers: the same question about the
// same lists of packages, in the same toolbox, has the same answer.
type Solver struct {
	Builder Builder
	State   string // folder that outlives a build
	// Assemble returns the program kairos-assemble for an architecture.
	Assemble func(arch string) ([]byte, error)
	Log      *slog.Logger
}

// solvePy is the program that talks to dnf and zypper.
//
//go:embed solve.py
var solvePy []byte

const storeID = "kairos-build-inputs"

// Solve implements rpm.Solver.
func (s Solver) Solve(ctx context.Context, tools []inputs.Source, r rpm.Request, repositories []inputs.File) (_ *rpm.Answer, err error) {
	store, err := s.store()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	sources, err := s.sources(tools, r, repositories)
	if err != nil {
		return nil, err
	}
	in := recipes.Inputs{}
	for _, source := range sources {
		if in[source.Name], err = s.add(ctx, store, source, r.GOARCH); err != nil {
			return nil, err
		}
	}
	state, err := recipes.Solver(in)
	if err != nil {
		return nil, err
	}
	graph, err := state.Marshal(ctx, llb.Platform(platform(r)))
	if err != nil {
		return nil, fmt.Errorf("marshalling the choice of packages: %w", err)
	}
	return s.answer(ctx, store, graph, platform(r))
}

// platform is that of the toolbox.
func platform(r rpm.Request) ocispec.Platform {
	return ocispec.Platform{OS: "linux", Architecture: r.GOARCH}
}

func (s Solver) store() (*inputs.Store, error) {
	dir := filepath.Join(s.State, "inputs")
	blobs, err := engine.Store(dir, s.Log)
	if err != nil {
		return nil, fmt.Errorf("opening the store of inputs: %w", err)
	}
	return inputs.Open(dir, blobs)
}

// sources are the inputs of the graph.
func (s Solver) sources(tools []inputs.Source, r rpm.Request, repositories []inputs.File) ([]inputs.Source, error) {
	program, err := s.Assemble(r.GOARCH)
	if err != nil {
		return nil, err
	}
	question, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	request := []inputs.File{
		{Path: "solve.py", Mode: 0o755, Data: solvePy},
		{Path: "request.json", Mode: 0o644, Data: append(question, '\n')},
	}
	for _, f := range repositories {
		f.Path = path.Join("repositories", f.Path)
		request = append(request, f)
	}
	asked, err := tree(recipes.InputRequest, request)
	if err != nil {
		return nil, err
	}
	assemble, err := tree(recipes.InputAssemble, []inputs.File{{Path: recipes.InputAssemble, Mode: 0o755, Data: program}})
	return append([]inputs.Source{asked, assemble}, tools...), err
}

// tree is an input made of files.
func tree(name string, files []inputs.File) (inputs.Source, error) {
	sum := sha256.New()
	if err := inputs.Tree(sum, files, recipes.SolverEpoch()); err != nil {
		return inputs.Source{}, fmt.Errorf("input %s: %w", name, err)
	}
	return inputs.Source{Name: name, Key: sum.Sum(nil), Write: func(_ context.Context, w io.Writer, _ inputs.Report) error {
		return inputs.Tree(w, files, recipes.SolverEpoch())
	}}, nil
}

func (s Solver) add(ctx context.Context, store *inputs.Store, source inputs.Source, arch string) (llb.State, error) {
	in, err := store.Add(ctx, source.Name, arch, source.StoreKey(recipes.SolverEpoch(), arch), func(w io.Writer) error {
		return source.Write(ctx, w, func(int64, int64) {})
	})
	return llb.OCILayout(in.Ref(), llb.OCIStore("", storeID), llb.WithCustomName("input "+source.Name)), err
}

// answer is the answer that was kept, or the engine's.
func (s Solver) answer(ctx context.Context, store *inputs.Store, graph *llb.Definition, on ocispec.Platform) (*rpm.Answer, error) {
	sum := sha256.New()
	for _, op := range graph.Def {
		sum.Write(op)
	}
	file := filepath.Join(s.State, "solved", hex.EncodeToString(sum.Sum(nil))+".json")
	if data, err := os.ReadFile(file); err == nil {
		if a, err := parse(data); err == nil {
			return a, nil
		}
	}
	data, err := s.run(ctx, store, graph, on)
	if err != nil {
		return nil, fmt.Errorf("choosing packages: %w", err)
	}
	a, err := parse(data)
	if err != nil {
		return nil, err
	}
	return a, errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), durable.WriteCache(file, data, 0o644))
}

func parse(data []byte) (*rpm.Answer, error) {
	a := &rpm.Answer{}
	if err := json.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("reading the solver's answer: %w", err)
	}
	return a, nil
}

// run executes the graph and reads the file that it makes.
func (s Solver) run(ctx context.Context, store *inputs.Store, graph *llb.Definition, on ocispec.Platform) (_ []byte, err error) {
	dir, err := os.MkdirTemp(s.State, "solving-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	_, err = s.Builder.Solve(ctx, engine.Request{
		Definition: graph, Stores: map[string]content.Store{storeID: store},
		Image: &engine.Image{Dir: filepath.Join(dir, "image"), Config: ocispec.Image{Platform: on}, Epoch: recipes.SolverEpoch()},
	})
	if err != nil {
		return nil, err
	}
	image, err := source.Layout(filepath.Join(dir, "image"), v1.Platform{OS: on.OS, Architecture: on.Architecture})
	if err != nil {
		return nil, err
	}
	files, err := source.Files(image, recipes.SolverAnswer)
	if err == nil && files[recipes.SolverAnswer] == nil {
		err = errors.New("the solver wrote no answer")
	}
	return files[recipes.SolverAnswer], err
}
