// SPDX-License-Identifier: Apache-2.0

package acceptance

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

// A readyNode is a node that booted slot a, said that it is ready, counted that
// boot by itself, and was frozen then. In its slot b is another version, proven
// once. Machines that begin with a ready node go on from here, see session.fork:
// in emulation that takes seconds where a boot takes a minute.
type readyNode struct {
	frozen  *qemu.Frozen
	session *session // that made it; its machine has ended
}

// A hardware is what machines have in common that go on from one node.
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

// readyNodes makes one node of each hardware, when the first machine asks for it.
// The others wait for it.
type readyNodes struct {
	mu    sync.Mutex
	nodes map[hardware]func() (*readyNode, error) // each makes its node once
	made  []*session                              // in the order in which they were ready
}

func newReadyNodes() *readyNodes {
	return &readyNodes{nodes: map[hardware]func() (*readyNode, error){}}
}

// get gives the node of this hardware.
func (n *readyNodes) get(ctx context.Context, r *runner, h hardware) (*readyNode, error) {
	n.mu.Lock()
	node := n.nodes[h]
	if node == nil {
		node = sync.OnceValues(func() (*readyNode, error) { return n.make(ctx, r, h) })
		n.nodes[h] = node
	}
	n.mu.Unlock()
	return node()
}

func (n *readyNodes) make(ctx context.Context, r *runner, h hardware) (*readyNode, error) {
	node, err := r.makeReadyNode(ctx, h)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.made = append(n.made, node.session)
	return node, nil
}

// sessions are those that made the nodes.
func (n *readyNodes) sessions() []*session {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.made
}

// makeReadyNode boots a node and freezes it. An emulated kernel that crashed is
// booted again, as in job.run.
func (r *runner) makeReadyNode(ctx context.Context, h hardware) (*readyNode, error) {
	for crashes := 0; ; crashes++ {
		s := newSession(r, machineReady(h), h.boot, crashes)
		s.setup = setup{disk: r.lab.armed, chipset: h.chipset, dir: filepath.Join(r.lab.dir, fmt.Sprintf("%s-%d", s.name, crashes))}
		frozen, err := s.freezeReady(ctx)
		if err == nil {
			return &readyNode{frozen, s}, nil
		}
		_, crashed := s.crash()
		if err = errors.Join(err, s.close()); !crashed || crashes == qemu.CrashRetries || ctx.Err() != nil {
			return nil, fmt.Errorf("making a node that is ready: %w", err)
		}
		r.say(fmt.Sprintf("%s: the emulated kernel crashed; the machine begins again", machineTitle(s.name)))
	}
}

// freezeReady boots the node, waits until it has counted its boot, and freezes it.
func (s *session) freezeReady(ctx context.Context) (*qemu.Frozen, error) {
	begin := time.Now()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.settled(ctx); err != nil {
		return nil, err
	}
	s.record("ready", "says that it is ready", time.Since(begin), fmt.Sprintf("%.1f s from the start of the kernel", s.boots[0].ReadySeconds), nil)
	s.r.progress(*s.results["ready"])
	begin = time.Now()
	if err := s.client.Close(); err != nil {
		return nil, err
	}
	frozen, err := s.vm.Freeze(ctx)
	s.record("frozen", "is frozen, for the machines that begin with it", time.Since(begin), "", err)
	return frozen, err
}

// machineReady is the machine's name in the report.
func machineReady(h hardware) string { return "ready-" + h.String() }

// fork makes the session's machine one that goes on from a ready node, and logs in.
// Of the setup only chipset and faults count.
func (s *session) fork(ctx context.Context) error {
	node, err := s.r.nodes.get(ctx, s.r, hardware{s.boot, s.setup.chipset})
	if err != nil {
		return err
	}
	log, err := s.newLog()
	if err != nil {
		return err
	}
	if s.vm, err = node.frozen.Fork(ctx, qemu.Fork{ConsoleLog: log, Faults: s.setup.faults}); err != nil {
		return err
	}
	s.version, s.lived = node.session.version, node.session.lived
	ctx, cancel := context.WithTimeout(ctx, s.r.BootTimeout)
	defer cancel()
	return s.login(ctx)
}

// newLog makes way for the machine's console log, and gives its path.
func (s *session) newLog() (string, error) {
	log := s.r.logPath(s.name)
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return "", err
	}
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("removing the console log of an earlier test: %w", err)
	}
	return log, nil
}

// put writes a file of the guest, so that it outlives a loss of power.
func (s *session) put(ctx context.Context, path, content string) error {
	_, err := output(ctx, s.client, content, "dd", "of="+path, "conv=fsync")
	return err
}

// overwrite changes bytes of the guest's disk, below everything that runs there.
func (s *session) overwrite(ctx context.Context, patches ...qemu.Patch) error {
	for _, p := range patches {
		_, err := output(ctx, s.client, string(p.Data), "dd", "of="+guestDisk, "bs=64k", "oflag=seek_bytes",
			fmt.Sprintf("seek=%d", p.Offset), "iflag=fullblock", "conv=notrunc,fsync")
		if err != nil {
			return fmt.Errorf("damaging the disk: %w", err)
		}
	}
	return nil
}

// guestDisk is the disk that the machines boot from.
const guestDisk = "/dev/vda"

// cutPower takes the machine's power away and gives it back: QEMU ends without a
// word to the guest, and starts again.
func (s *session) cutPower(ctx context.Context) error {
	if err := s.client.Close(); err != nil {
		s.r.Log.Debug("closing the connection of a machine that loses its power", "err", err)
	}
	return s.vm.Restart(ctx)
}
