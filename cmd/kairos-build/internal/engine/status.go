// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"
)

// statusGrace is how long a failed build may send no status. A graph that fails
// before it starts never gets a status, and BuildKit's client then waits five seconds
// for one.
const statusGrace = 300 * time.Millisecond

// statusGuard ends the status stream of a build soon after the build has failed. It
// intercepts the calls of BuildKit's client.
type statusGuard struct {
	mu      sync.Mutex
	streams map[string]*statusStream // by build reference; nil: the stream has ended
}

type statusStream struct {
	cancel context.CancelFunc
	active chan struct{} // a message arrived
	closed <-chan struct{}
	ended  atomic.Bool // the guard ended it
}

func newStatusGuard() *statusGuard {
	return &statusGuard{streams: map[string]*statusStream{}}
}

func (g *statusGuard) options() []client.ClientOpt {
	return []client.ClientOpt{
		client.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(g.watchSolve)),
		client.WithGRPCDialOption(grpc.WithChainStreamInterceptor(g.watchStatus)),
	}
}

// watchSolve starts the grace of a build that failed.
func (g *statusGuard) watchSolve(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	if solve, ok := req.(*controlapi.SolveRequest); ok && err != nil {
		go g.endAfterGrace(solve.Ref)
	}
	return err
}

// watchStatus hands out a stream that the guard can end.
func (g *statusGuard) watchStatus(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if method != controlapi.Control_Status_FullMethodName {
		return open(ctx, desc, cc, method, opts...)
	}
	ctx, cancel := context.WithCancel(ctx)
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	stream := &statusStream{cancel: cancel, active: make(chan struct{}, 1), closed: ctx.Done()}
	return &guardedStream{ClientStream: s, guard: g, stream: stream}, nil
}

func (g *statusGuard) get(ref string) (s *statusStream, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, known = g.streams[ref]
	return s, known
}

func (g *statusGuard) set(ref string, s *statusStream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.streams[ref] = s
}

// endAfterGrace ends the stream after statusGrace without a message. It waits for the
// stream to open: build and stream start at the same time.
func (g *statusGuard) endAfterGrace(ref string) {
	for range 100 {
		if s, known := g.get(ref); known {
			s.endAfterGrace()
			return
		}
		time.Sleep(statusGrace / 30)
	}
}

func (s *statusStream) endAfterGrace() {
	if s == nil {
		return // it ended by itself
	}
	for {
		select {
		case <-s.closed:
			return
		case <-s.active:
		case <-time.After(statusGrace):
			s.ended.Store(true)
			s.cancel()
			return
		}
	}
}

// guardedStream is a status stream that the guard knows by its build reference.
type guardedStream struct {
	grpc.ClientStream
	guard  *statusGuard
	stream *statusStream
	ref    string
}

func (s *guardedStream) SendMsg(m any) error {
	if req, ok := m.(*controlapi.StatusRequest); ok {
		s.ref = req.Ref
		s.guard.set(s.ref, s.stream)
	}
	return s.ClientStream.SendMsg(m)
}

func (s *guardedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.guard.set(s.ref, nil)
		s.stream.cancel()
		if s.stream.ended.Load() {
			return io.EOF // any other error would hide why the build failed
		}
		return err
	}
	select {
	case s.stream.active <- struct{}{}:
	default:
	}
	return nil
}
