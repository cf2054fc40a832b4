// SPDX-License-Identifier: Apache-2.0

// Package engine executes BuildKit graphs. By default it runs the BuildKit
// that is compiled into this program, as a hidden child process in its own PID
// and mount namespaces; with a builder URL it uses one that is already running.
// The result is the same in both cases: an OCI layout on disk.
//
// The package owns the state folder, the life of the child, and the cache. It
// knows nothing of flavors and recipes, and it refuses to export a root file
// system as plain files (that can hang, moby/buildkit#2950).
//
// # State folder
//
//	lock          flock held by the child for as long as it lives; holds its pid
//	engine.sock   the child's socket (the folder is 0700)
//	engine.log    BuildKit's log since the last start
//	tmp/          TMPDIR of the child, emptied at every start
//	cache.db, history.db, runc-overlayfs/ or runc-native/   BuildKit's own
//
// # One folder, one child, any number of builds
//
// The first build starts the child; other builds that use the same folder attach to
// its socket. Each connection is a lease: the child stops when the process that
// started it is gone and no connection is left, however the clients ended. A build
// that finds the child stopping waits for the lock and starts its own child.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/moby/buildkit/client"
)

// Engine is a connection to a BuildKit, embedded or remote.
type Engine struct {
	client  *client.Client
	guard   *statusGuard
	child   *child // nil: remote, or attached to another process's child
	state   string // state folder of the embedded engine; "" when remote
	builder string // URL of the remote one; "" when embedded
	// rootless tells that the embedded engine is that of an ordinary user.
	rootless bool
	caches   Options // CacheFrom and CacheTo
	log      *slog.Logger
	close    sync.Once
}

// Open connects to the builder that o names, or starts the embedded engine.
func Open(ctx context.Context, o Options) (*Engine, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	routeLogs(o.Log)
	open := openEmbedded
	if o.Builder != "" {
		open = openRemote
	}
	e, err := open(ctx, o)
	if e != nil {
		e.caches = o
	}
	return e, err
}

// Embedded reports whether this engine runs inside this program.
func (e *Engine) Embedded() bool { return e.builder == "" }

// Close ends the connection. If this process started the child and no other process
// uses it, Close returns after the child has collected garbage and ended.
func (e *Engine) Close() (err error) {
	e.close.Do(func() {
		err = e.client.Close()
		if e.child != nil {
			err = errors.Join(err, e.child.release())
		}
	})
	if err != nil {
		return fmt.Errorf("closing the build engine: %w", err)
	}
	return nil
}

// openEmbedded starts the embedded engine in o.StateDir, or attaches to the one
// that another build started there.
func openEmbedded(ctx context.Context, o Options) (*Engine, error) {
	l, err := newLauncher(ctx, o)
	if err != nil {
		return nil, err
	}
	return join(ctx, l)
}
