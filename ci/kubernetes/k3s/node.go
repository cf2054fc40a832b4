// SPDX-License-Identifier: Apache-2.0

package k3s

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/cluster"
	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

// startNode starts containerd, brings the images of a folder into it, and starts the kubelet.
func startNode(ctx context.Context, group *process.Group, o cluster.Options, images string, output io.Writer) error {
	if err := o.NodeFiles(); err != nil {
		return err
	}
	if err := group.Start(ctx, o.Containerd()); err != nil {
		return err
	}
	if err := importImages(ctx, o, images, output); err != nil {
		return err
	}
	return group.Start(ctx, o.KubeletProgram())
}

// archives are the names of files with images.
var archives = []string{".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"}

// importImages brings archives into containerd. One that cannot be read is reported,
// and the others are used, as k3s and k0s do.
func importImages(ctx context.Context, o cluster.Options, dir string, output io.Writer) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		isArchive := slices.ContainsFunc(archives, func(ext string) bool { return strings.HasSuffix(entry.Name(), ext) })
		if !isArchive {
			continue
		}
		if err := process.Run(ctx, o.Import(filepath.Join(dir, entry.Name())), output); err != nil {
			fmt.Fprintf(output, "importing images of %s: %v\n", entry.Name(), err)
		}
	}
	return nil
}

// deploy applies the manifests at the start and when one changes. The removal of a
// file removes nothing from the cluster.
func (s *server) deploy(ctx context.Context) {
	seen := map[string]time.Time{}
	dir := filepath.Join(s.dir, "server", "manifests")
	for ctx.Err() == nil {
		for _, file := range changedManifests(dir, seen) {
			if err := process.Run(ctx, s.options.Kubectl("apply", "--server-side", "--force-conflicts", "-f", file), s.Err); err != nil {
				delete(seen, file)
				s.Log.Error("applying manifest " + file + ": " + err.Error())
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(15 * time.Second):
		}
	}
}

// changedManifests finds manifests that are new or changed, without those that have a
// file NAME.skip beside them.
func changedManifests(dir string, seen map[string]time.Time) []string {
	var changed []string
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
			return nil //nolint:nilerr // a folder that is gone has no manifests
		}
		info, err := d.Info()
		if err != nil || info.ModTime().Equal(seen[name]) {
			return nil //nolint:nilerr // the same
		}
		if _, err := os.Stat(name + ".skip"); err == nil {
			return nil
		}
		seen[name] = info.ModTime()
		changed = append(changed, name)
		return nil
	})
	return changed
}
