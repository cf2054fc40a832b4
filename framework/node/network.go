// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/netconfig"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// networkManager is the unit of the service that images of some distributions have in place
// of systemd-networkd.
const networkManager = "/usr/lib/systemd/system/NetworkManager.service"

// setUpNetwork renders a network-config and removes what was rendered before.
func (n *Node) setUpNetwork(ctx context.Context, text string) error {
	files, err := n.networkFiles(text)
	if err != nil && len(files) == 0 {
		return fmt.Errorf("setting up the network: %w", err)
	}
	errs := []error{err, n.forgetNetwork(files)}
	renamed := false
	for _, f := range files {
		mode := fs.FileMode(0o644)
		if path.Dir(f.Path) == netconfig.KeyfileDir {
			mode = netconfig.KeyfileMode
		}
		changed, err := n.Root.Replace(f.Path, tree.File{Data: f.Data, Mode: mode})
		errs = append(errs, err)
		renamed = renamed || changed && path.Ext(f.Path) == ".link"
	}
	if renamed && n.Running() {
		// udev names a port when it is added; the trigger makes udev see existing
		// ports again.
		errs = append(errs, output(exec.CommandContext(ctx, "udevadm", "trigger", "--action=add", "--subsystem-match=net")))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("setting up the network: %w", err)
	}
	return nil
}

// networkFiles renders a network-config for the service that the image has. What it cannot do
// is in the error; the rest is used.
func (n *Node) networkFiles(text string) ([]netconfig.File, error) {
	if text == "" {
		return nil, nil
	}
	c, problems := netconfig.Decode("network-config", []byte(text))
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("the network-config that is stored: %w", err)
	}
	if n.Root.Exists(networkManager) {
		return c.Keyfiles()
	}
	return c.Files(), nil
}

// reloadNetwork makes the service read the files again.
func (n *Node) reloadNetwork(ctx context.Context) error {
	if n.Root.Exists(networkManager) {
		return n.command(ctx, "nmcli", "connection", "reload")
	}
	return n.command(ctx, "networkctl", "reload")
}

// forgetNetwork removes rendered files that are not in files.
func (n *Node) forgetNetwork(files []netconfig.File) (err error) {
	old := []string{netconfig.ResolvedFile}
	for _, dir := range []string{netconfig.Dir, netconfig.KeyfileDir} {
		entries, listErr := n.Root.List(dir)
		if listErr != nil && !errors.Is(listErr, fs.ErrNotExist) {
			err = errors.Join(err, listErr)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), netconfig.Prefix) {
				old = append(old, dir+"/"+e.Name())
			}
		}
	}
	for _, name := range old {
		if !slices.ContainsFunc(files, func(f netconfig.File) bool { return f.Path == name }) {
			_, removeErr := n.Root.Remove(name)
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
