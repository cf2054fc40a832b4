// SPDX-License-Identifier: Apache-2.0

package k3s

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/k3s/arguments"
	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

// errNoEtcd is in k3s' words.
var errNoEtcd = errors.New("etcd datastore disabled")

// snapshot is `k3s etcd-snapshot save|list|delete`.
func (p Program) snapshot(ctx context.Context, verb string, values *arguments.Values) error {
	dir := snapshotDir(values)
	switch verb {
	case "save":
		return p.saveSnapshot(ctx, dir, values)
	case "ls", "list":
		return p.listSnapshots(dir)
	case "delete":
		return p.deleteSnapshots(dir, values.Rest)
	}
	return fmt.Errorf("k3s etcd-snapshot %s is not in this stand-in: it has save, list and delete", verb)
}

func snapshotDir(values *arguments.Values) string {
	for _, name := range []string{"etcd-snapshot-dir", "snapshot-dir", "dir"} {
		if dir := values.String(name); dir != "" {
			return dir
		}
	}
	return filepath.Join(values.String("data-dir"), "server", "db", "snapshots")
}

// saveSnapshot asks the running etcd for its data. The file has the node's name and
// the time behind its name, and takes its place when it is whole.
func (p Program) saveSnapshot(ctx context.Context, dir string, values *arguments.Values) error {
	if !exists(filepath.Join(values.String("data-dir"), "server", "db", "etcd")) {
		return errNoEtcd
	}
	node, err := nodeName(values)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%s-%d", values.String("name"), node, time.Now().Unix())
	file := filepath.Join(dir, name)
	save := process.Program{Name: "etcd-save", Path: filepath.Join(p.Folder, "bin", "etcd-save"), Args: []string{etcdClients, file + ".part"}}
	if err := process.Run(ctx, save, p.Err); err != nil {
		return errors.Join(fmt.Errorf("see if the cluster is up: %w", err), removeIfThere(file+".part"))
	}
	if err := os.Rename(file+".part", file); err != nil {
		return err
	}
	p.Log.Info("Snapshot " + name + " saved.")
	return nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func (p Program) listSnapshots(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	table := tabwriter.NewWriter(p.Out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, "Name\tLocation\tSize\tCreated")
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\tfile://%s\t%d\t%s\n", entry.Name(), filepath.Join(dir, entry.Name()), info.Size(), info.ModTime().UTC().Format(time.RFC3339))
	}
	return table.Flush()
}

func (p Program) deleteSnapshots(dir string, names []string) error {
	if len(names) == 0 {
		return errors.New("no snapshots given for removal")
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, filepath.Base(name))); err != nil {
			return err
		}
		p.Log.Info("Snapshot " + name + " deleted.")
	}
	return nil
}
