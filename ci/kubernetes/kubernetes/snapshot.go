// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/etcdserver/cindex"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// etcdSave writes what etcd holds: etcd-save URL FILE.
func etcdSave(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: etcd-save URL FILE")
	}
	_, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), clientv3.Config{Endpoints: args[:1]}, args[1])
	return err
}

// A restored is a new data folder of an etcd with one member, made from a snapshot.
type restored struct {
	dir     string
	name    string
	cluster *membership.RaftCluster
}

// etcdRestore makes a data folder: etcd-restore FILE FOLDER NAME PEER. The module of
// etcdutl, which does this in k3s, is not to be had; the steps are the same.
func etcdRestore(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: etcd-restore FILE FOLDER NAME PEER")
	}
	peers, err := types.NewURLsMap(args[2] + "=" + args[3])
	if err != nil {
		return err
	}
	cluster, err := membership.NewClusterFromURLsMap(zap.NewNop(), "etcd-cluster", peers)
	if err != nil {
		return err
	}
	r := restored{dir: args[1], name: args[2], cluster: cluster}
	if err := r.copy(args[0]); err != nil {
		return err
	}
	return r.join()
}

func (r restored) snaps() string { return filepath.Join(r.dir, "member", "snap") }

// copy takes the database out of the snapshot, which has its sum at the end.
func (r restored) copy(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	size := len(data) - sha256.Size
	if size < 0 || len(data)%512 != sha256.Size {
		return fmt.Errorf("%s is not a snapshot: there is no checksum at its end", file)
	}
	if sum := sha256.Sum256(data[:size]); string(sum[:]) != string(data[size:]) {
		return fmt.Errorf("%s is damaged: its checksum is another one", file)
	}
	if err := os.MkdirAll(r.snaps(), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.snaps(), "db"), data[:size], 0o600)
}

// join writes the new member into the database, and a log that begins with it.
func (r restored) join() error {
	log := zap.NewNop()
	db := backend.NewDefaultBackend(log, filepath.Join(r.snaps(), "db"))
	members := schema.NewMembershipBackend(log, db)
	if err := members.TrimMembershipFromBackend(); err != nil {
		return errors.Join(err, db.Close())
	}
	r.cluster.SetBackend(members)
	for _, m := range r.cluster.Members() {
		r.cluster.AddMember(m, true)
	}
	err := r.writeLog(log)
	cindex.UpdateConsistentIndexForce(db.BatchTx(), 1, 1)
	return errors.Join(err, db.Close())
}

func (r restored) writeLog(log *zap.Logger) error {
	member := r.cluster.MemberByName(r.name)
	metadata, err := (&etcdserverpb.Metadata{NodeID: uint64(member.ID), ClusterID: uint64(r.cluster.ID())}).Marshal()
	if err != nil {
		return err
	}
	w, err := wal.Create(log, filepath.Join(r.dir, "member", "wal"), metadata)
	if err != nil {
		return err
	}
	return errors.Join(r.writeEntries(log, w, member), w.Close())
}

// writeEntries writes that the member joined, and a snapshot at this point.
func (r restored) writeEntries(log *zap.Logger, w *wal.WAL, member *membership.Member) error {
	about, err := json.Marshal(member)
	if err != nil {
		return err
	}
	id := uint64(member.ID)
	change, err := (&raftpb.ConfChange{Type: raftpb.ConfChangeAddNode, NodeID: id, Context: about}).Marshal()
	if err != nil {
		return err
	}
	entry := raftpb.Entry{Type: raftpb.EntryConfChange, Term: 1, Index: 1, Data: change}
	if err := w.Save(raftpb.HardState{Term: 1, Vote: id, Commit: 1}, []raftpb.Entry{entry}); err != nil {
		return err
	}
	state := raftpb.ConfState{Voters: []uint64{id}}
	point := raftpb.Snapshot{
		Data:     etcdserver.GetMembershipInfoInV2Format(log, r.cluster),
		Metadata: raftpb.SnapshotMetadata{Index: 1, Term: 1, ConfState: state},
	}
	if err := snap.New(log, r.snaps()).SaveSnap(point); err != nil {
		return err
	}
	return w.SaveSnapshot(walpb.Snapshot{Index: 1, Term: 1, ConfState: &state})
}
