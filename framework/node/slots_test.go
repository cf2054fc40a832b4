// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/erofs/go-erofs"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv/bootenvtest"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// A disked node has a disk of files, a registry, and all that belongs to an upgrade: the
// boot environment as GRUB changes it, slots with real root images, and a /oem that stays.
// A boot takes the release and the policy out of the root image of the slot.
type disked struct {
	*machine
	t        *testing.T
	disk     map[string]string // files of partitions by their names
	registry *httptest.Server
	boots    int
}

// newDisked makes a node that runs an image in slot a, which is good.
func newDisked(t *testing.T, image v1.Image) *disked {
	t.Helper()
	n := &disked{t: t, disk: map[string]string{}, machine: newMachine(t, layout.SlotA, layout.ModeActive, slot.Initial())}
	n.OpenStore = OpenStore
	for _, p := range layout.Table(layout.Sizes{}) {
		n.disk[p.Name] = n.partition(p.Name)
	}
	n.registry = httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)), registry.WithReferrersSupport(true)))
	t.Cleanup(n.registry.Close)
	n.install(layout.SlotA, image)
	n.boot(layout.SlotA)
	return n
}

// partition makes the file of a partition. It has two names: the second lies below the root
// of the node, where a reader of the slots looks for it.
func (n *disked) partition(name string) string {
	n.t.Helper()
	path := n.env.partition
	if name != layout.PartEFI {
		path = filepath.Join(n.t.TempDir(), name)
		if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 40<<20)); err != nil {
			n.t.Fatal(err)
		}
	}
	inside := filepath.Join(n.Root.Dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(inside), 0o755), os.Link(path, inside)); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// install writes an image to a slot, as the builder does.
func (n *disked) install(x layout.Slot, image v1.Image) {
	n.t.Helper()
	layers, err := source.Layers(image, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	root, err := os.OpenFile(n.disk[x.Root()], os.O_RDWR, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer root.Close()
	written, err := slotimage.Write(n.t.Context(), root, layers, bootconf.Loader{})
	if err != nil {
		n.t.Fatal(err)
	}
	boot, err := os.OpenFile(n.disk[x.Boot()], os.O_RDWR, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer boot.Close()
	if err := fat32.Write(boot, 40<<20, written.BootFiles(bootconf.Loader{}), fat32.Options{Label: x.BootFS()}); err != nil {
		n.t.Fatal(err)
	}
}

// boot lets GRUB choose, which must take slot x, and starts what is in the slot. What was not
// on the disk is gone.
func (n *disked) boot(x layout.Slot) {
	n.t.Helper()
	choice := n.env.boot()
	if choice.Slot != x {
		n.t.Fatalf("GRUB starts slot %s, must start %s", choice.Slot, x)
	}
	root, err := os.Open(n.disk[choice.Slot.Root()])
	if err != nil {
		n.t.Fatal(err)
	}
	defer root.Close()
	image, err := erofs.Open(io.NewSectionReader(root, 0, math.MaxInt64))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, path := range []string{layout.ImageRelease, layout.ImagePolicy} {
		inside := filepath.Join(n.Root.Dir, path)
		if err := os.RemoveAll(inside); err != nil {
			n.t.Fatal(err)
		}
		if f, err := image.Open(path[1:]); err == nil {
			data, err := io.ReadAll(f)
			if err := errors.Join(err, f.Close()); err != nil {
				n.t.Fatal(err)
			}
			put(n.t, n.Root.Dir, path, string(data))
		}
	}
	n.boots++
	put(n.t, n.Root.Dir, "proc/sys/kernel/random/boot_id", fmt.Sprintf("boot-%d\n", n.boots))
	state := thisboot.Boot{Slot: choice.Slot, Mode: choice.Mode, RootHash: strings.Repeat("ab", 32)}
	for _, p := range layout.Table(layout.Sizes{}) {
		state.Partitions = append(state.Partitions, thisboot.Partition{Number: p.Number, Name: p.Name, Device: n.disk[p.Name], Size: 40 << 20})
	}
	if err := state.Write(filepath.Join(n.Root.Dir, layout.StateFile)); err != nil {
		n.t.Fatal(err)
	}
}

// settle lets the node pass its health checks.
func (n *disked) settle() {
	n.t.Helper()
	if err := n.Settle(n.t.Context()); err != nil {
		n.t.Fatalf("%v: %s", err, n.out)
	}
}

// wantSlots checks the state of the slots.
func (n *disked) wantSlots(want slot.State) {
	n.t.Helper()
	if got, err := bootenvtest.Open(n.t, n.env.partition).Load(); err != nil || got != want {
		n.t.Errorf("the slots are %+v (%v), must be %+v", got, err, want)
	}
}

// push puts an image into the registry, signed by these, and returns its name.
func (n *disked) push(tag string, image v1.Image, signers ...*testimage.Signer) string {
	n.t.Helper()
	ref, err := name.ParseReference(n.registry.Listener.Addr().String() + "/edge/node:" + tag)
	if err != nil {
		n.t.Fatal(err)
	}
	about, err := partial.Descriptor(image)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, s := range signers {
		signature, err := s.Bundle(*about, about.Digest, testimage.PredicateSign, map[string]any{})
		if err != nil {
			n.t.Fatal(err)
		}
		digest, err := signature.Digest()
		if err != nil {
			n.t.Fatal(err)
		}
		if err := remote.Write(ref.Context().Digest(digest.String()), signature); err != nil {
			n.t.Fatal(err)
		}
	}
	if err := remote.Write(ref, image); err != nil {
		n.t.Fatal(err)
	}
	return "oci:" + ref.Name()
}

// upgradeTo upgrades the node, which must write slot x.
func (n *disked) upgradeTo(x layout.Slot, o upgrade.Options) upgrade.Result {
	n.t.Helper()
	r, err := n.Upgrade(n.t.Context(), o)
	if err != nil || r.Slot != x {
		n.t.Fatalf("got %+v, %v; want slot %s", r, err, x)
	}
	return r
}

// refuses tries an upgrade that must be refused for this reason, before anything is written.
func (n *disked) refuses(ref string, is error, says string) {
	n.t.Helper()
	before := n.times()
	_, err := n.Upgrade(n.t.Context(), upgrade.Options{Source: ref})
	if !errors.Is(err, is) || !strings.Contains(fmt.Sprint(err), says) {
		n.t.Errorf("got %v, want %v that says %q", err, is, says)
	}
	if after := n.times(); after != before {
		n.t.Errorf("something was written:\n%s\n%s", before, after)
	}
}

// times are the sizes and the times of change of all partitions.
func (n *disked) times() string {
	n.t.Helper()
	var b strings.Builder
	for _, p := range layout.Table(layout.Sizes{}) {
		info, err := os.Stat(n.disk[p.Name])
		if err != nil {
			n.t.Fatal(err)
		}
		fmt.Fprintln(&b, p.Name, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}

// imageWith is an image of a version with a policy; an empty policy is none.
func imageWith(t *testing.T, version, policy string) v1.Image {
	t.Helper()
	files := []testimage.Entry{
		testimage.File("boot/vmlinuz", "kernel "+version), testimage.File("boot/initrd", "initrd "+version),
		testimage.File("etc/kairos-release", fmt.Sprintf("KAIROS_VERSION=%q\nKAIROS_ARCH=\"amd64\"\nKAIROS_FAMILY=\"debian\"\nKAIROS_MODEL=\"generic\"\nKAIROS_FLAVOR=\"debian\"\nKAIROS_FLAVOR_RELEASE=\"13\"\nKAIROS_VARIANT=\"core\"\n", version)),
		testimage.File("usr/lib/kairos/cmdline", "quiet\n"),
	}
	if policy != "" {
		files = append(files, testimage.File(layout.ImagePolicy[1:], policy))
	}
	image, err := testimage.Image(files)
	if err == nil {
		image, err = testimage.For(image, "amd64")
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}
