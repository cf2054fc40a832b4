// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// A readyNode is a node that booted slot a, printed the ready line, counted that boot by
// itself, and was then frozen. Its slot b has another version, proven once. Machines
// that begin with a ready node fork it, see Machine.Fork. In emulation a fork takes
// seconds, a boot a minute.
type readyNode struct {
	frozen  *qemu.Frozen
	machine *Machine // the machine that was frozen; it has ended
}

// A hardware is what all forks of one node have in common.
type hardware struct {
	boot    qemu.Boot
	chipset qemu.Chipset
}

func (h hardware) String() string {
	if h.chipset == "" {
		return string(h.boot)
	}
	return fmt.Sprintf("%s-%s", h.boot, h.chipset)
}

// readyNodes makes one node of each hardware when the first machine asks for it. Other
// machines that ask meanwhile wait for that node.
type readyNodes struct {
	mu    sync.Mutex
	nodes map[hardware]func() (*readyNode, error) // each makes its node once
	made  []*Machine                              // in the order in which they got ready
}

func newReadyNodes() *readyNodes {
	return &readyNodes{nodes: map[hardware]func() (*readyNode, error){}}
}

// get returns the node of this hardware.
func (n *readyNodes) get(ctx context.Context, l *Lab, h hardware) (*readyNode, error) {
	n.mu.Lock()
	node := n.nodes[h]
	if node == nil {
		node = sync.OnceValues(func() (*readyNode, error) { return n.make(ctx, l, h) })
		n.nodes[h] = node
	}
	n.mu.Unlock()
	return node()
}

func (n *readyNodes) make(ctx context.Context, l *Lab, h hardware) (*readyNode, error) {
	node, err := l.makeReadyNode(ctx, h)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.made = append(n.made, node.machine)
	return node, nil
}

// ReadyNodes returns the machines that were frozen as ready nodes.
func (l *Lab) ReadyNodes() []*Machine {
	l.nodes.mu.Lock()
	defer l.nodes.mu.Unlock()
	return l.nodes.made
}

// makeReadyNode boots a node and freezes it. It tries again after a crash of the
// emulated kernel, up to qemu.CrashRetries times, as the machines forked from it do.
func (l *Lab) makeReadyNode(ctx context.Context, h hardware) (*readyNode, error) {
	for crashes := 0; ; crashes++ {
		m := l.Machine(ReadyName+h.String(), h.boot, crashes)
		m.Setup = Setup{Disk: l.Images.Armed, Chipset: h.chipset, Dir: filepath.Join(l.Images.Dir, fmt.Sprintf("%s-%d", m.Name, crashes))}
		frozen, err := m.freezeReady(ctx)
		if err == nil {
			return &readyNode{frozen, m}, nil
		}
		_, crashed := m.Crash()
		if err = errors.Join(err, m.Close()); !crashed || crashes == qemu.CrashRetries || ctx.Err() != nil {
			return nil, fmt.Errorf("making a node that is ready: %w", err)
		}
		l.Say(m.Name, "the emulated kernel crashed; the machine begins again")
	}
}

// freezeReady boots the node, waits until it has counted its boot, and freezes it.
func (m *Machine) freezeReady(ctx context.Context) (*qemu.Frozen, error) {
	begin := time.Now()
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	if err := m.Settled(ctx); err != nil {
		return nil, err
	}
	m.Conclude("ready", "says that it is ready", time.Since(begin), fmt.Sprintf("%.1f s from the start of the kernel", m.Boots[0].ReadySeconds), nil)
	begin = time.Now()
	if err := m.Client.Close(); err != nil {
		return nil, err
	}
	frozen, err := m.VM.Freeze(ctx)
	m.Record("frozen", "is frozen, for the machines that begin with it", time.Since(begin), "", err)
	return frozen, err
}

// ReadyName begins the name of a ready node in the report; its hardware follows.
const ReadyName = "ready-"

// Fork starts the machine as a fork of a ready node, and logs in. It uses only Chipset
// and Faults of the setup.
func (m *Machine) Fork(ctx context.Context) error {
	node, err := m.Lab.nodes.get(ctx, m.Lab, hardware{m.Boot, m.Setup.Chipset})
	if err != nil {
		return err
	}
	log, err := m.newLog()
	if err != nil {
		return err
	}
	if m.VM, err = node.frozen.Fork(ctx, qemu.Fork{ConsoleLog: log, Faults: m.Setup.Faults}); err != nil {
		return err
	}
	m.Version, m.Lived = node.machine.Version, node.machine.Lived
	ctx, cancel := qemu.WithTimeout(ctx, m.Lab.BootTimeout)
	defer cancel()
	return m.login(ctx)
}

// newLog removes an old console log of the machine, and returns the path of the new one.
func (m *Machine) newLog() (string, error) {
	log := m.Lab.LogPath(m.Name)
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return "", err
	}
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("removing the console log of an earlier test: %w", err)
	}
	return log, nil
}
