// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kairos-build/kairos-build/framework/grub/bootenv/bootenvtest"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// Sizes of the partitions of a slot, in bytes.
const (
	rootSize = 16 << 20
	bootSize = 40 << 20
)

// A node is a folder with the root of a system and the partitions of its disk.
type node struct {
	t         *testing.T
	dir, disk string
	efi       string
	program   string
}

// newNode makes a node that runs version v1.0.0 in slot a.
func newNode(t *testing.T, program, policy string) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), program: program}
	n.disk = filepath.Join(n.dir, "disk")
	root := filepath.Join(n.dir, "root")
	boot := &thisboot.Boot{Version: thisboot.Version, Slot: layout.SlotA, Mode: layout.ModeActive, RootHash: strings.Repeat("ab", 32)}
	n.efi = bootenvtest.Partition(t, slot.Initial())
	for _, p := range layout.Table(layout.Sizes{}) {
		path, size := filepath.Join(n.disk, p.Name), int64(1<<20)
		switch p.Name {
		case layout.PartEFI:
			path = n.efi
		case layout.SlotA.Root(), layout.SlotB.Root():
			size = rootSize
		case layout.SlotA.Boot(), layout.SlotB.Boot():
			size = bootSize
		}
		if path != n.efi {
			n.put(path, "the content of "+p.Name)
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
		boot.Partitions = append(boot.Partitions, thisboot.Partition{Number: p.Number, Name: p.Name, Device: path, Size: size})
	}
	data, err := boot.Encode()
	if err != nil {
		t.Fatal(err)
	}
	n.put(filepath.Join(root, layout.StateFile), string(data))
	n.put(filepath.Join(root, layout.ImageRelease), text(release("KAIROS_VERSION", "v1.0.0")))
	if policy != "" {
		n.put(filepath.Join(root, layout.ImagePolicy), policy)
	}
	return n
}

func (n *node) put(path, data string) {
	n.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
		n.t.Fatal(err)
	}
}

// An outcome is what a run of the program did.
type outcome struct {
	err    error
	said   string
	memory int64 // bytes, at most; the kernel also counts this test's own memory at the start
}

// upgrade runs the agent.
func (n *node) upgrade(env []string, args ...string) outcome {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), n.program, append([]string{"upgrade", "--root", filepath.Join(n.dir, "root")}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append([]string{"HOME=" + n.dir, "PATH=" + os.Getenv("PATH"), "SSL_CERT_DIR=" + n.dir}, env...)
	err := cmd.Run()
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		n.t.Fatal("the system does not tell the memory of a process")
	}
	return outcome{err, out.String(), usage.Maxrss << 10}
}

// contents returns a hash of each file of the node, by name, without the lock of upgrades,
// the boot history and what is kept for the next run.
func (n *node) contents() map[string]uint64 {
	n.t.Helper()
	found := map[string]uint64{"efi": n.sum(n.efi)}
	err := filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if base := filepath.Base(path); base != "upgrade.lock" && base != "history.json" {
			found[strings.TrimPrefix(path, n.dir)] = n.sum(path)
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return found
}

// seed makes the hashes of one run comparable.
var seed = maphash.MakeSeed()

func (n *node) sum(path string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	var h maphash.Hash
	h.SetSeed(seed)
	if _, err := io.Copy(&h, f); err != nil {
		n.t.Fatal(err)
	}
	return h.Sum64()
}

// wantUntouched compares the node with what it was before. If spoils is true, the slot that
// was written may be spoiled, and is bad then.
func (n *node) wantUntouched(before map[string]uint64, spoils bool) {
	n.t.Helper()
	after := n.contents()
	if spoils {
		for _, name := range []string{"/disk/" + layout.SlotB.Root(), "/disk/" + layout.SlotB.Boot(), "efi"} {
			before[name], after[name] = 0, 0
		}
		s, err := bootenvtest.Open(n.t, n.efi).Load()
		if want := (slot.State{Good: layout.SlotA, Bad: layout.SlotB}); err != nil || s != want {
			n.t.Errorf("the state of the slots is %+v (%v), want %+v", s, err, want)
		}
	}
	if !maps.Equal(before, after) {
		n.t.Errorf("the node is not as before: %s", difference(before, after))
	}
}

func difference(before, after map[string]uint64) string {
	var names []string
	for name := range after {
		if before[name] != after[name] {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name+" (gone)")
		}
	}
	return fmt.Sprint(names)
}
