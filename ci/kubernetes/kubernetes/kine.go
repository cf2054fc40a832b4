// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/generic"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
)

// kine answers as etcd at a Unix socket, and keeps the data in a file of SQLite. Only
// this driver of kine is in the program: the others bring the clients of other databases.
func kine(ctx context.Context, args []string) error {
	set := pflag.NewFlagSet("kine", pflag.ContinueOnError)
	listen := set.String("listen", "", "unix://SOCKET")
	file := set.String("file", "", "the database")
	if err := set.Parse(args); err != nil {
		return err
	}
	for _, name := range []string{*file, strings.TrimPrefix(*listen, "unix://")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
	}
	socket, err := listenUnix(strings.TrimPrefix(*listen, "unix://"))
	if err != nil {
		return err
	}
	return serveSQLite(ctx, socket, *file)
}

func listenUnix(name string) (net.Listener, error) {
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return net.Listen("unix", name)
}

func serveSQLite(ctx context.Context, socket net.Listener, file string) error {
	databases, end := context.WithCancel(context.Background())
	defer end()
	var running sync.WaitGroup
	_, backend, err := sqlite.New(databases, &running, &drivers.Config{
		DataSourceName:       file + "?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate",
		ConnectionPoolConfig: generic.ConnectionPoolConfig{},
		CompactInterval:      5 * time.Minute,
		CompactTimeout:       5 * time.Second,
		CompactMinRetain:     1000,
		CompactBatchSize:     1000,
		PollBatchSize:        500,
	})
	if err != nil {
		return err
	}
	if err := backend.Start(databases); err != nil {
		return err
	}
	front := grpc.NewServer(grpc.MaxSendMsgSize(math.MaxInt32), grpc.MaxRecvMsgSize(2<<20))
	server.New(backend, "unix", 5*time.Second, "3.5.13").Register(front)
	go func() {
		<-ctx.Done()
		front.Stop()
	}()
	err = front.Serve(socket)
	end()
	running.Wait()
	if errors.Is(err, grpc.ErrServerStopped) || ctx.Err() != nil {
		return nil
	}
	return err
}
