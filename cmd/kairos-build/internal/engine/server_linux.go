// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/moby/buildkit/cache/remotecache"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/disk"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
)

// server is the BuildKit inside the child.
type server struct {
	cfg        childConfig
	grpc       *grpc.Server
	controller *control.Controller
	worker     *base.Worker
	graceful   context.CancelFunc
	calls      *calls
}

// newServer opens the databases and sets up BuildKit. There is no frontend: graphs
// arrive as LLB.
func newServer(cfg childConfig) (*server, error) {
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	w, err := newWorker(cfg)
	if err != nil {
		return nil, fmt.Errorf("setting up the engine's worker in %s: %w", cfg.State, err)
	}
	graceful, cancel := context.WithCancel(context.Background())
	opt, err := controlOpt(cfg, sessions, w)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("opening the engine's databases in %s: %w", cfg.State, err)
	}
	opt.GracefulStop = graceful.Done()
	controller, err := control.NewController(opt)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("setting up the engine: %w", err)
	}
	calls := &calls{}
	s := &server{cfg: cfg, grpc: newGRPC(calls), controller: controller, worker: w, graceful: cancel, calls: calls}
	controller.Register(s.grpc)
	return s, nil
}

func newGRPC(calls *calls) *grpc.Server {
	return grpc.NewServer(
		grpc.ChainUnaryInterceptor(calls.count, grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)
}

func newWorker(cfg childConfig) (*base.Worker, error) {
	opt, err := runc.NewWorkerOpt(
		cfg.State,
		snapshotter(cfg.State),
		cfg.Rootless,
		oci.ProcessSandbox,
		nil,                            // labels
		nil,                            // identity mapping
		netproviders.Opt{Mode: "host"}, // steps that need no network turn it off
		nil,                            // DNS: the host's
		cfg.RunC,
		"",    // AppArmor profile: none
		false, // SELinux labels
		nil,   // parallelism: unlimited
		"",    // trace socket
		cgroupParent(cfg.State),
		nil, // CDI devices
	)
	if err != nil {
		return nil, err
	}
	opt.GCPolicy = gcPolicy(cacheLimit(cfg.CacheLimit, diskSize(cfg.State)))
	opt.ContentStore.Store = fromTheStart{opt.ContentStore.Store}
	opt.RegistryHosts = resolver.NewRegistryConfig(nil)
	return base.NewWorker(context.Background(), opt)
}

// snapshotter is overlayfs where the state folder supports it, else native,
// which copies the whole root for every step.
func snapshotter(state string) runc.SnapshotterFactory {
	if err := overlayutils.Supported(state); err != nil {
		return runc.SnapshotterFactory{Name: "native", New: native.NewSnapshotter}
	}
	return runc.SnapshotterFactory{
		Name: "overlayfs",
		New: func(root string) (snapshots.Snapshotter, error) {
			return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
		},
	}
}

func controlOpt(cfg childConfig, sessions *session.Manager, w *base.Worker) (control.Opt, error) {
	var opt control.Opt
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return opt, err
	}
	cacheStore, err := bboltcachestorage.NewStore(filepath.Join(cfg.State, "cache.db"))
	if err != nil {
		return opt, err
	}
	history, err := boltutil.SafeOpen(filepath.Join(cfg.State, "history.db"), 0o600, &bolt.Options{
		FreelistType:   bolt.FreelistMapType,
		NoFreelistSync: true,
	})
	if err != nil {
		return opt, errors.Join(err, cacheStore.Close())
	}
	noHistory := int64(0)
	hosts := resolver.NewRegistryConfig(nil)
	return control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends:        map[string]frontend.Frontend{},
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registrycache.ResolveCacheExporterFunc(sessions, hosts),
			"local":    localcache.ResolveCacheExporterFunc(sessions),
			"inline":   inlinecache.ResolveCacheExporterFunc(),
		},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registrycache.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts),
			"local":    localcache.ResolveCacheImporterFunc(sessions),
		},
		CacheManager:   solver.NewCacheManager(context.Background(), "local", cacheStore, worker.NewCacheResultStorage(workers)),
		Entitlements:   []string{entitlements.EntitlementNetworkHost.String()},
		HistoryDB:      history,
		HistoryConfig:  &config.HistoryConfig{MaxEntries: &noHistory},
		CacheStore:     cacheStore,
		LeaseManager:   w.LeaseManager(),
		ContentStore:   w.ContentStore(),
		GarbageCollect: w.GarbageCollect,
	}, nil
}

// stop ends the builds, collects garbage and closes the databases.
func (s *server) stop() error {
	s.graceful()
	s.grpc.Stop()
	s.calls.running.Wait()
	collectErr := s.collect()
	err := errors.Join(collectErr, s.controller.Close(), s.removeSocket())
	return errors.Join(err, leaveNoCgroups(cgroupRoot, cgroupParent(s.cfg.State)))
}

// collect applies the policy once more. BuildKit itself collects a second after the
// start and then once a minute; a short build ends before that.
func (s *server) collect() error {
	if err := s.worker.Prune(context.Background(), nil, s.worker.GCPolicy()...); err != nil {
		return fmt.Errorf("collecting garbage in the engine's cache: %w", err)
	}
	return nil
}

func (s *server) removeSocket() error {
	err := os.Remove(filepath.Join(s.cfg.State, socketName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// diskSize is the size in bytes of the disk that holds path, 0 if unknown.
func diskSize(path string) int64 {
	stat, err := disk.GetDiskStat(path)
	if err != nil {
		return 0
	}
	return stat.Total
}

// calls counts the calls that must return before the databases are closed: a
// cancelled build still removes its container and mounts. gRPC's own wait would
// include the status streams; that of a build that never started takes five seconds.
type calls struct{ running sync.WaitGroup }

func (c *calls) count(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	c.running.Add(1)
	defer c.running.Done()
	return handle(ctx, req)
}
