// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// arch is the architecture that is built and measured.
const arch = "amd64"

// A node is one of our disks as block devices, with a room for the agent. There the agent
// believes that the machine booted from slot a of this disk.
type node struct {
	b       *bench
	tree    string // root of the room
	state   string // folder that is /run/cos in the room
	root    string // device of root-b, which is written
	devices []*os.File
}

// newNode makes the disk of an image. Its root-b is a separate file of rootSize bytes.
func (b *bench) newNode(ctx context.Context, image string, rootSize int64) (n *node, err error) {
	dir, err := os.MkdirTemp(b.temp, "node-")
	if err != nil {
		return nil, err
	}
	n = &node{b: b, tree: filepath.Join(dir, "tree"), state: filepath.Join(dir, "state")}
	disk, rootFile := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "root-b")
	if _, err := b.kairos(ctx, b.program, filepath.Join(dir, "build"), "disk", image, "--output", disk); err != nil {
		return nil, err
	}
	err = errors.Join(n.furnish(), os.WriteFile(rootFile, nil, 0o600), os.Truncate(rootFile, rootSize))
	if err == nil {
		err = n.plug(disk, rootFile)
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// furnish makes the room, with the agent in it.
func (n *node) furnish() error {
	for _, d := range []string{"proc", "sys", "dev", "run", "tmp"} {
		if err := os.MkdirAll(filepath.Join(n.tree, d), 0o755); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(n.b.agent)
	if err != nil {
		return fmt.Errorf("reading the agent: %w; run `make build`", err)
	}
	return os.WriteFile(filepath.Join(n.tree, "kairos-agent"), program, 0o755)
}

// plug makes the devices, and writes the state file that the initramfs would write.
func (n *node) plug(disk, rootFile string) error {
	table, err := readTable(disk)
	if err != nil {
		return err
	}
	whole, err := n.attach(disk, 0, 0)
	if err != nil {
		return err
	}
	boot := &thisboot.Boot{Slot: layout.SlotA, Mode: layout.ModeActive, Disk: thisboot.Disk{Device: whole}}
	for _, name := range []string{layout.PartEFI, layout.SlotA.Boot(), layout.SlotB.Boot()} {
		p, ok := table.Partition(name)
		if !ok {
			return fmt.Errorf("%s has no partition %s", disk, name)
		}
		device, err := n.attach(disk, p.Offset(), p.Size())
		if err != nil {
			return err
		}
		boot.Partitions = append(boot.Partitions, thisboot.Partition{Name: name, Device: device})
	}
	if n.root, err = n.attach(rootFile, 0, 0); err != nil {
		return err
	}
	boot.Partitions = append(boot.Partitions, thisboot.Partition{Name: layout.SlotB.Root(), Device: n.root})
	return boot.Write(filepath.Join(n.state, filepath.Base(layout.StateFile)))
}

func (n *node) attach(path string, offset, size int64) (device string, err error) {
	f, err := attach(path, offset, size)
	if err != nil {
		return "", err
	}
	n.devices = append(n.devices, f)
	return f.Name(), nil
}

// close detaches the devices and removes their files.
func (n *node) close() error {
	var all error
	for _, f := range n.devices {
		all = errors.Join(all, f.Close())
	}
	return errors.Join(all, os.RemoveAll(filepath.Dir(n.tree)))
}

// An upgraded holds the figures of one run of `kairos-agent upgrade`.
type upgraded struct {
	job
	bytes int64 // of the root image with its hash tree
}

// upgrade runs the agent of the payload, from the start of its process to its end.
func (n *node) upgrade(ctx context.Context, ref string) (u upgraded, err error) {
	log, err := os.CreateTemp(n.b.temp, "upgrade-*.log")
	if err != nil {
		return u, err
	}
	r := room{root: n.tree, binds: [][2]string{{n.state, layout.RunDir}}, log: log}
	cmd := n.b.enter(ctx, r, "/kairos-agent", "upgrade", "--insecure-skip-verify", "--source", ref, "--json")
	var said bytes.Buffer
	cmd.Stdout = &said
	u.job, err = n.b.timed(ctx, cmd)
	if err := errors.Join(withTail(err, "kairos-agent upgrade", log.Name()), log.Close()); err != nil {
		return u, err
	}
	u.bytes, err = armed(said.Bytes())
	return u, err
}

// armed returns the number of bytes in slot b from the agent's result. It guards against
// an upgrade that did too little.
func armed(said []byte) (int64, error) {
	var r upgrade.Result
	if err := json.Unmarshal(said, &r); err != nil {
		return 0, fmt.Errorf("reading what kairos-agent upgrade said: %w", err)
	}
	if r.Slot != layout.SlotB || r.Tries < 1 || r.Bytes < 1 {
		return 0, fmt.Errorf("the upgrade armed slot %q for %d boots with %d bytes, which is none", r.Slot, r.Tries, r.Bytes)
	}
	return r.Bytes, nil
}
