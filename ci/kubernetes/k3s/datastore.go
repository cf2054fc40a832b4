// SPDX-License-Identifier: Apache-2.0

package k3s

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

const (
	etcdClients = "http://127.0.0.1:2379"
	etcdPeers   = "http://127.0.0.1:2380"
	etcdHealth  = "http://127.0.0.1:2381"
)

func (s *server) db(name ...string) string {
	return filepath.Join(append([]string{s.dir, "server", "db"}, name...)...)
}

// etcd says whether the datastore is etcd: it was asked for, or it is there.
func (s *server) etcd() bool {
	return s.values.Bool("cluster-init") || s.values.Bool("cluster-reset") || exists(s.db("etcd"))
}

func (s *server) datastoreURL() string {
	if s.etcd() {
		return etcdClients
	}
	return "unix://" + s.kineSocket()
}

func (s *server) kineSocket() string { return filepath.Join(s.dir, "server", "kine.sock") }

func (s *server) startDatastore(ctx context.Context, group *process.Group) error {
	if err := os.MkdirAll(s.db(), 0o700); err != nil {
		return err
	}
	if !s.etcd() {
		return group.Start(ctx, s.kine())
	}
	if exists(s.db("state.db")) && !exists(s.db("etcd")) {
		return fmt.Errorf("this stand-in for k3s does not turn SQLite into etcd: remove %s, or cluster-init from the configuration", s.db("state.db"))
	}
	return group.Start(ctx, s.etcdProgram())
}

func (s *server) kine() process.Program {
	p := process.Program{Name: "kine", Path: filepath.Join(s.options.Programs, "kine")}
	p.Args = []string{"--listen=unix://" + s.kineSocket(), "--file=" + s.db("state.db")}
	p.Ready = process.Socket("unix", s.kineSocket())
	return p
}

func (s *server) etcdProgram() process.Program {
	p := process.Program{Name: "etcd", Path: filepath.Join(s.options.Programs, "etcd")}
	p.Env = []string{"STANDIN_ETCD_VERSION=" + s.Release.Etcd}
	p.Args = []string{
		"--name=default", "--data-dir=" + s.db("etcd"),
		"--listen-client-urls=" + etcdClients, "--advertise-client-urls=" + etcdClients,
		"--listen-peer-urls=" + etcdPeers, "--initial-advertise-peer-urls=" + etcdPeers,
		"--initial-cluster=default=" + etcdPeers, "--listen-metrics-urls=" + etcdHealth,
	}
	p.Ready = process.Answers(&http.Client{Timeout: time.Minute}, etcdHealth+"/health")
	return p
}

// reset is --cluster-reset: etcd forgets its other members, or begins again with what
// a snapshot holds. The service is then started without the flag.
func (s *server) reset(ctx context.Context) error {
	flagFile := s.db("reset-flag")
	restore := s.values.String("cluster-reset-restore-path")
	if exists(flagFile) && restore == "" {
		return fmt.Errorf("Managed etcd cluster membership was previously reset, please remove the cluster-reset flag and start k3s normally. If you need to perform another cluster reset, you must first manually delete the file at %s", flagFile) //nolint:staticcheck // k3s' own words
	}
	if restore != "" {
		if err := s.restore(ctx, restore); err != nil {
			return err
		}
	} else if !exists(s.db("etcd")) {
		return errors.New("no etcd datastore found on disk")
	}
	if err := os.WriteFile(flagFile, nil, 0o600); err != nil {
		return err
	}
	s.Log.Info("Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes")
	return nil
}

// restore puts the data of a snapshot in the place of the present ones, which it keeps
// beside them. Nothing is moved before the snapshot was read.
func (s *server) restore(ctx context.Context, snapshot string) error {
	if !exists(snapshot) {
		return fmt.Errorf("etcd: snapshot path does not exist: %s", snapshot)
	}
	fresh := s.db("etcd-restored")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	p := process.Program{Name: "etcd-restore", Path: filepath.Join(s.options.Programs, "etcd-restore")}
	p.Args = []string{snapshot, fresh, "default", etcdPeers}
	if err := process.Run(ctx, p, s.Err); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	if exists(s.db("etcd")) {
		old := s.db(fmt.Sprintf("etcd-old-%d", time.Now().Unix()))
		if err := os.Rename(s.db("etcd"), old); err != nil {
			return err
		}
	}
	s.Log.Info("Restored etcd from " + snapshot)
	return os.Rename(fresh, s.db("etcd"))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
