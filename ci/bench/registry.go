// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kairos-build/kairos-build/framework/source"
)

// A served image is in a registry on loopback, which runs until close.
type served struct {
	server *http.Server
	image  v1.Image
	ref    string // as `kairos-agent upgrade --source` takes it
}

// serve starts a registry with the image of an OCI layout folder.
func serve(ctx context.Context, dir string) (*served, error) {
	image, err := source.Open(ctx, "dir:"+dir, source.Options{Arch: arch})
	if err != nil {
		return nil, err
	}
	server, address, err := onLoopback(ctx, registry.New(registry.WithBlobHandler(blobs{filepath.Join(dir, "blobs")}), registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelError))))
	if err != nil {
		return nil, fmt.Errorf("starting a registry: %w", err)
	}
	s := &served{image: image, server: server}
	ref, err := name.ParseReference(address + "/node:v1")
	if err == nil {
		err = remote.Put(ref, image, remote.WithContext(ctx)) // only the manifest: the registry has the blobs
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("putting %s into a registry: %w", dir, err), s.close())
	}
	s.ref = "oci:" + ref.String()
	return s, nil
}

// onLoopback serves HTTP on a free port, at HOST:PORT, until the server is closed.
func onLoopback(ctx context.Context, handler http.Handler) (_ *http.Server, address string, _ error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // it ends when it is closed, and says so
	return server, listener.Addr().String(), nil
}

func (s *served) close() error { return s.server.Close() }

// blobs serves the blobs of an OCI layout from their folder. The library's own handler
// for folders computes the digest of a blob before each answer, and the measured node
// would wait for that.
type blobs struct{ dir string }

func (b blobs) path(h v1.Hash) string { return filepath.Join(b.dir, h.Algorithm, h.Hex) }

// Get implements registry.BlobHandler.
func (b blobs) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(b.path(h))
	return f, orNotFound(err)
}

// Stat implements registry.BlobStatHandler.
func (b blobs) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	info, err := os.Stat(b.path(h))
	if err != nil {
		return 0, orNotFound(err)
	}
	return info.Size(), nil
}

func orNotFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return registry.ErrNotFound
	}
	return err
}
