// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv/bootenvtest"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

const (
	rootSize = 16 << 20
	bootSize = 40 << 20
)

// releaseOf is testimage.Release.
func releaseOf(changes ...string) map[string]string { return testimage.Release(changes...) }

func releaseText(r map[string]string) string { return testimage.ReleaseText(r) }

func layerOf(t testing.TB, files ...string) v1.Layer {
	t.Helper()
	var entries []testimage.Entry
	for i := 0; i < len(files); i += 2 {
		entries = append(entries, testimage.File(files[i], files[i+1]))
	}
	layer, err := testimage.Layer(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// noise returns text that does not compress.
func noise(n int, seed uint32) string {
	b := make([]byte, n)
	for i := range b {
		seed = seed*1664525 + 1013904223
		b[i] = byte(seed >> 24)
	}
	return string(b)
}

// imageOf returns an image as the builder makes it, with its annotations.
func imageOf(t testing.TB, release map[string]string, more ...v1.Layer) v1.Image {
	t.Helper()
	layers := append([]v1.Layer{
		layerOf(t, "boot/vmlinuz", noise(1<<20, 1), "boot/initrd", noise(2<<20, 2), "usr/lib/large", noise(3<<20, 3)),
		layerOf(t, "etc/kairos-release", releaseText(release), "usr/lib/kairos/cmdline", "quiet\n"),
	}, more...)
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	if image, err = testimage.For(image, "amd64"); err != nil {
		t.Fatal(err)
	}
	return image
}

// recorded adds the builder's record.
func recorded(t testing.TB, image v1.Image) (v1.Image, *slotimage.Image) {
	t.Helper()
	layers, err := source.Layers(image, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := slotimage.Write(t.Context(), f, layers, bootconf.Loader{})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(image, root.Record(layers, bootconf.Loader{})).(v1.Image), root
}

// annotated changes annotations of the manifest, given as keys and values.
func annotated(image v1.Image, changes ...string) v1.Image {
	annotations := map[string]string{}
	for i := 0; i < len(changes); i += 2 {
		annotations[changes[i]] = changes[i+1]
	}
	return mutate.Annotations(image, annotations).(v1.Image)
}

// enlarged adds a layer and keeps the annotations, as some programs do.
func enlarged(t testing.TB, image v1.Image, layer v1.Layer) v1.Image {
	t.Helper()
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(image, manifest.Annotations).(v1.Image)
}

// store writes the image as an OCI layout and returns its folder.
func store(t testing.TB, image v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	path, err := ocilayout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(image)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A testNode has files for partitions.
type testNode struct {
	Installation
	t   testing.TB
	dir string
	env *env
	efi string // path of the EFI partition
	// fail is called before each change: a write or sync of a partition, a save.
	fail    func(what string) error
	mu      sync.Mutex
	closing error          // of every partition
	writes  map[string]int // by partition
	sizes   map[string]int64
	loader  testLoader
}

// trusting trusts every image.
type trusting struct{}

func (trusting) Verify(context.Context, *source.Image) ([]string, error) {
	return []string{"signed by a test"}, nil
}

// A testLoader is GRUB; it only notes what it is to stage.
type testLoader struct {
	bootconf.Loader
	staged map[string][]byte
}

func (l *testLoader) Stage(files map[string][]byte) ([]string, error) {
	l.staged = files
	return nil, nil
}

func newNode(t testing.TB) *testNode {
	t.Helper()
	n := &testNode{t: t, dir: t.TempDir(), efi: bootenvtest.Partition(t, slot.Initial()), writes: map[string]int{}, sizes: map[string]int64{}}
	n.env = &env{Store: bootenvtest.Open(t, n.efi), node: n}
	n.Installation = Installation{
		Booted: layout.SlotA, Release: releaseOf(keyVersion, "v1.0.0"), Store: n.env,
		Lock: filepath.Join(n.dir, "run", "upgrade.lock"), Open: n.open, BootLoader: &n.loader, Verifier: trusting{},
	}
	for _, s := range layout.Slots() {
		n.sizes[s.Root()], n.sizes[s.Boot()] = rootSize, bootSize
	}
	return n
}

func (n *testNode) change(what string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writes[what]++
	if n.fail == nil {
		return nil
	}
	return n.fail(what)
}

func (n *testNode) open(name string) (Device, error) {
	path := filepath.Join(n.dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(n.sizes[name]), f.Close()); err != nil {
		return nil, err
	}
	p, err := OpenPartition(path)
	if err != nil {
		return nil, err
	}
	return &testDevice{p, n, name}, nil
}

type testDevice struct {
	*Partition
	node *testNode
	name string
}

func (d *testDevice) WriteAt(b []byte, off int64) (int, error) {
	if err := d.node.change(d.name); err != nil {
		return 0, err
	}
	return d.Partition.WriteAt(b, off)
}

// Close returns the error that the test asked for.
func (d *testDevice) Close() error { return errors.Join(d.Partition.Close(), d.node.closing) }

// Sync counts as a change but does not sync, to save time.
func (d *testDevice) Sync() error { return d.node.change(d.name + " sync") }

// An env is the node's boot environment, on its own EFI partition. A write to it is one
// of the node's changes, which can be made to fail.
type env struct {
	*bootenv.Store
	node *testNode
	lost error // of the partition: nothing can be read
	late error // of an Update that has written
}

func (e *env) Load() (slot.State, error) {
	if e.lost != nil {
		return slot.State{}, e.lost
	}
	return e.Store.Load()
}

func (e *env) Update(change func(slot.State) (slot.State, error)) (slot.State, error) {
	s, err := e.Store.Update(func(s slot.State) (slot.State, error) {
		next, err := change(s)
		if err != nil {
			return next, err
		}
		return next, e.node.change("state")
	})
	if err == nil && e.late != nil {
		return s, e.late
	}
	return s, err
}

// slots returns the state on the medium.
func (n *testNode) slots() slot.State {
	n.t.Helper()
	s, err := n.env.Store.Load()
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// come makes s the state of the node, as if it had come to it before the test.
func (n *testNode) come(s slot.State) {
	n.t.Helper()
	if err := n.env.Store.Save(s); err != nil {
		n.t.Fatal(err)
	}
}
