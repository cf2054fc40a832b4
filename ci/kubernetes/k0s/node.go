// SPDX-License-Identifier: Apache-2.0

package k0s

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/process"
)

// node starts what a node with workloads has besides.
func (c *controller) node(ctx context.Context, group *process.Group) error {
	if !c.workloads() {
		return nil
	}
	if err := c.options.NodeFiles(); err != nil {
		return err
	}
	if c.options.CNIConfig != "" {
		if err := c.linkPlugins(); err != nil {
			return err
		}
	}
	if err := group.Start(ctx, c.options.Containerd()); err != nil {
		return err
	}
	c.importImages(ctx)
	return group.Start(ctx, c.options.KubeletProgram())
}

// linkPlugins does what the image of kube-router does: it puts the plugins into
// /opt/cni/bin.
func (c *controller) linkPlugins() error {
	if err := os.MkdirAll(c.options.CNI, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"bridge", "host-local", "loopback", "portmap"} {
		if err := relink(filepath.Join(c.options.Programs, name), filepath.Join(c.options.CNI, name)); err != nil {
			return err
		}
	}
	return nil
}

// importImages brings the archives of DATA/images into containerd.
func (c *controller) importImages(ctx context.Context) {
	files, err := os.ReadDir(filepath.Join(c.dataDir, "images"))
	if err != nil {
		return
	}
	for _, file := range files {
		if err := process.Run(ctx, c.options.Import(filepath.Join(c.dataDir, "images", file.Name())), c.Err); err != nil {
			fmt.Fprintf(c.Err, "level=error msg=\"importing images of %s: %v\"\n", file.Name(), err)
		}
	}
}

// deploy applies the manifests of DATA/manifests/STACK/*.yaml. Unlike k0s, it does not
// remove the objects of a file that is gone.
func (c *controller) deploy(ctx context.Context) {
	seen := map[string]time.Time{}
	for ctx.Err() == nil {
		for _, file := range c.changedManifests(seen) {
			if err := process.Run(ctx, c.options.Kubectl("apply", "--server-side", "--force-conflicts", "-f", file), c.Err); err != nil {
				delete(seen, file)
				fmt.Fprintf(c.Err, "level=error msg=\"applying %s: %v\"\n", file, err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
}

func (c *controller) changedManifests(seen map[string]time.Time) []string {
	var changed []string
	stacks, _ := os.ReadDir(filepath.Join(c.dataDir, "manifests"))
	for _, stack := range stacks {
		dir := filepath.Join(c.dataDir, "manifests", stack.Name())
		files, _ := os.ReadDir(dir)
		for _, file := range files {
			name := filepath.Join(dir, file.Name())
			info, err := file.Info()
			if err == nil && filepath.Ext(name) == ".yaml" && !info.ModTime().Equal(seen[name]) {
				seen[name] = info.ModTime()
				changed = append(changed, name)
			}
		}
	}
	slices.Sort(changed)
	return changed
}

func relink(target, link string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}
