// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Request is one graph to execute, and what to make of its result.
type Request struct {
	// Definition is the marshalled graph.
	Definition *llb.Definition
	// Stores hold the blobs that llb.OCILayout names, by store id.
	Stores map[string]content.Store
	// Image says how to write the result. Nil: it is only computed (and cached).
	Image *Image
	// Progress, if not nil, is called with every status, in order, from one
	// goroutine.
	Progress func(*client.SolveStatus)
}

// Result is the outcome of a graph.
type Result struct {
	// Digest of the image's manifest; "" when the request wrote no image.
	Digest digest.Digest
	// Manifest describes it.
	Manifest ocispec.Descriptor
	// Steps, in the order in which they started. They are filled even if Solve
	// returns an error.
	Steps []Step
}

// Solve executes the graph. A step that fails is a *StepError.
func (e *Engine) Solve(ctx context.Context, r Request) (Result, error) {
	opt, err := e.solveOpt(r)
	if err != nil {
		return Result{}, err
	}
	rec, updates, recorded := newRecord(), make(chan *client.SolveStatus), make(chan struct{})
	go func() {
		defer close(recorded)
		for s := range updates {
			rec.add(s)
			if r.Progress != nil {
				r.Progress(s)
			}
		}
	}()
	asked, end := withoutDeadline(ctx)
	defer end()
	resp, err := e.client.Solve(asked, r.Definition, opt, updates)
	<-recorded
	result := Result{Steps: rec.list()}
	if err != nil {
		return result, e.explain(ctx, err, rec)
	}
	if r.Image != nil {
		result.Manifest, err = r.Image.finish(resp.ExporterResponse)
		result.Digest = result.Manifest.Digest
	}
	return result, err
}

// withoutDeadline ends with ctx, and does not tell its deadline: gRPC would send that to the
// engine, whose clock may be the first to end the build, with words of its own.
func withoutDeadline(ctx context.Context) (context.Context, func()) {
	free, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return free, func() { stop(); cancel(nil) }
}

func (e *Engine) solveOpt(r Request) (client.SolveOpt, error) {
	opt := client.SolveOpt{
		OCIStores: r.Stores,
		Internal:  e.Embedded(), // no history of builds: nothing reads it, and it costs disk writes
	}
	from, to, err := e.caches.cacheEntries()
	if opt.CacheImports = from; err != nil || r.Image == nil {
		return opt, err
	}
	opt.CacheExports = to
	export, err := r.Image.export(e.blobs())
	if err != nil {
		return opt, err
	}
	opt.Exports = []client.ExportEntry{export}
	return opt, nil
}

// blobs is the folder of the engine's own blobs, "" if it is not on this machine.
func (e *Engine) blobs() string {
	if e.state == "" {
		return ""
	}
	for _, name := range []string{"runc-overlayfs", "runc-native"} {
		dir := filepath.Join(e.state, name, "content", "blobs")
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return dir
		}
	}
	return ""
}

// explain turns BuildKit's error into one that the user can understand.
func (e *Engine) explain(ctx context.Context, err error, rec *record) error {
	if ctx.Err() != nil {
		return fmt.Errorf("build interrupted: %w", context.Cause(ctx))
	}
	var name string
	if vertex, ok := errors.AsType[*errdefs.VertexError](err); ok {
		name = vertex.Vertex.GetDigest()
	}
	if s := rec.failed(name); s != nil {
		return &StepError{Step: s.Name, ExitCode: exitCode(err), Output: s.tail.last(), Err: rootCause(err)}
	}
	if e.Embedded() && connectionLost(err) {
		return fmt.Errorf("the build engine ended in the middle of the build: %w; its log: %s",
			rootCause(err), lastLines(filepath.Join(e.state, logName), 5))
	}
	if connectionLost(err) {
		return &BuilderError{URL: e.builder, Err: err, What: fmt.Sprintf("ended in the middle of the build: %v", rootCause(err)), Do: "see its log"}
	}
	return fmt.Errorf("executing the graph: %w", rootCause(err))
}

// exitCode is the status of the command that failed, or -1.
func exitCode(err error) int {
	var exit *gatewaypb.ExitError
	if errors.As(err, &exit) && exit.ExitCode < gatewaypb.UnknownExitStatus {
		return int(exit.ExitCode)
	}
	return -1
}

// Seconds is the time that the step took, for reports.
func (s Step) Seconds() float64 { return s.Duration.Round(time.Millisecond).Seconds() }
