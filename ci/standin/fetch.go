// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// parallel is how many packages are downloaded at the same time.
const parallel = 8

// fetch downloads the packages that dir lacks, and returns their paths, in order. Each has
// the SHA-256 of the lock.
func (c *choice) fetch(ctx context.Context, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	client := fetch.Client(transport)
	paths := make([]string, len(c.packages))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, l := range c.packages {
		paths[i] = filepath.Join(dir, l.SHA256+".deb")
		g.Go(func() error { return l.fetch(ctx, client, c.mirrors[l.Archive], paths[i]) })
	}
	return paths, g.Wait()
}

func (l locked) fetch(ctx context.Context, client *http.Client, mirror, path string) error {
	if data, err := os.ReadFile(path); err == nil && l.is(data) {
		return nil
	}
	address := mirror + "/" + l.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close() // read to its end below
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: the mirror answers %s", address, answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, l.Size+1))
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	if !l.is(data) {
		return fmt.Errorf("%s: its SHA-256 is %x, the lock says %s", address, sha256.Sum256(data), l.SHA256)
	}
	return durable.WriteCache(path, data, 0o644)
}

// is tells whether data is the package of the lock.
func (l locked) is(data []byte) bool {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]) == l.SHA256
}
