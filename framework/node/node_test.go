// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

type result struct {
	code           int
	stdout, stderr string
}

// A doing is what a verb of the agent makes a node do.
type doing func(*Node, context.Context) error

// call runs do on the node below dir.
func call(t *testing.T, dir string, do doing) result {
	t.Helper()
	return callOn(t, &Node{}, dir, do)
}

// callOn is call, on a node with more than its files.
func callOn(t *testing.T, n *Node, dir string, do doing) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	n.Root, n.Stdout, n.Stderr, n.Log = tree.Root{Dir: dir, KeepOwner: true}, &stdout, &stderr, slog.New(slog.DiscardHandler)
	code := end(do(n, t.Context()), &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// end prints err, unless it is ErrSaid, and returns the exit status.
func end(err error, w io.Writer) int {
	if err == nil {
		return 0
	}
	if !errors.Is(err, ErrSaid) {
		fmt.Fprintln(w, err)
	}
	return 1
}

// stage runs a stage.
func stage(name string) doing {
	return func(n *Node, ctx context.Context) error {
		reports, err := n.RunStage(ctx, name)
		fmt.Fprintf(n.Stdout, "%+v\n", reports)
		if err == nil && !stages.AllOK(reports) {
			err = ErrSaid
		}
		return err
	}
}

func dryStage(name string) doing {
	return func(n *Node, ctx context.Context) error {
		n.Root.Dry = new(tree.DryRun)
		return stage(name)(n, ctx)
	}
}

func (n *Node) showStatus(ctx context.Context) error {
	return n.Status(ctx).WriteTable(n.Stdout, status.View{})
}

func content(t *testing.T, dir, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func newNode(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:::::::\n",
		"etc/kairos-release": "KAIROS_VERSION=\"v1.2.3\"\n", "proc/cmdline": "kairos.slot=a kairos.mode=active", "home/.keep": "",
	} {
		put(t, dir, name, data)
	}
	return dir
}

func put(t *testing.T, dir, name, data string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// putState makes the node look as booted from slot.
func putState(t *testing.T, dir string, slot layout.Slot, mode layout.Mode) {
	t.Helper()
	s := &thisboot.Boot{
		Slot: slot, Mode: mode, RootHash: strings.Repeat("ab", 32), HashOffset: 1 << 20,
		Mounts: []thisboot.Mount{{Path: layout.MountOEM, Kind: thisboot.MountData}},
	}
	for _, p := range layout.Table(layout.Sizes{ImageSize: 2 << 20}) {
		s.Partitions = append(s.Partitions, thisboot.Partition{Number: p.Number, Name: p.Name, Device: "/dev/null", Size: p.Size})
	}
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, layout.StateFile, string(data))
}
