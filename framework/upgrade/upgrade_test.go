// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	diskfat "github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv/bootenvtest"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

func TestRun(t *testing.T) {
	image, want := recorded(t, imageOf(t, releaseOf()))
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t)
	src := "dir:" + store(t, image)
	var steps []string
	got, err := Run(t.Context(), n.Installation, Options{Source: src, Progress: func(p Progress) {
		if len(steps) == 0 || steps[len(steps)-1] != p.Step {
			steps = append(steps, p.Step)
		}
		if p.Done > p.Total {
			t.Errorf("%s: %d of %d bytes", p.Step, p.Done, p.Total)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n.loader.staged == nil {
		t.Error("the image's boot loader is not staged")
	}
	got.Seconds = 0
	hash := fmt.Sprintf("%x", want.Tree.RootHash)
	if diff := cmp.Diff(Result{
		Slot: "b", Source: src, Version: "v1.1.0", From: "v1.0.0", Digest: digest.String(), RootHash: hash, Bytes: want.Tree.Size, Tries: 3,
		Verified: true, Trust: []string{"signed by a test"}, Warnings: []string{},
	}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string{StepCheck, StepWrite, StepReadBack}, steps); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if want := (slot.State{Good: "a", Try: "b", Tries: 3}); n.slots() != want {
		t.Errorf("got state %+v, want %+v", n.slots(), want)
	}
	n.checkSlot(t, "b", want)
	text := n.readFile(t, layout.SlotB, "/SLOT.TXT")
	if want := fmt.Sprintf("VERSION=v1.1.0\nIMAGE=%s\nDIGEST=%s\nROOTHASH=%s\nTRUST=signed by a test\n", src, digest, hash); text != want {
		t.Errorf("SLOT.TXT: got %q, want %q", text, want)
	}
	n.untouched(t, layout.SlotA, layout.SlotRecovery)
}

// checkSlot reads a slot as GRUB and the kernel do.
func (n *testNode) checkSlot(t *testing.T, s layout.Slot, want *slotimage.Image) {
	t.Helper()
	f, err := os.Open(filepath.Join(n.dir, s.Root()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := verity.Verify(t.Context(), f, want.Tree); err != nil {
		t.Error(err)
	}
	for _, file := range want.BootFiles(bootconf.Loader{}) {
		if file.Path == layout.BootLabel { // has values that the builder does not know
			continue
		}
		if got := n.readFile(t, s, "/"+file.Path); got != string(file.Data) {
			t.Errorf("%s has %d bytes and is not the image's, which has %d", file.Path, len(got), len(file.Data))
		}
	}
}

func (n *testNode) readFile(t *testing.T, s layout.Slot, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(n.dir, s.Boot()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fs, err := diskfat.Read(file.New(f, true), bootSize, 0, 512)
	if err != nil {
		t.Fatalf("boot partition of slot %s: %v", s, err)
	}
	if got, want := strings.TrimSpace(fs.Label()), s.BootFS(); got != want {
		t.Errorf("label: got %q, want %q", got, want)
	}
	r, err := fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// untouched checks that slots were not even opened.
func (n *testNode) untouched(t *testing.T, slots ...layout.Slot) {
	t.Helper()
	for _, s := range slots {
		for _, part := range []string{s.Root(), s.Boot()} {
			if _, err := os.Stat(filepath.Join(n.dir, part)); n.writes[part] > 0 || err == nil {
				t.Errorf("partition %s was written to %d times, or opened", part, n.writes[part])
			}
		}
	}
}

func TestRecovery(t *testing.T) {
	image, want := recorded(t, imageOf(t, releaseOf()))
	n := newNode(t)
	got, err := Run(t.Context(), n.Installation, Options{Source: "file:" + store(t, image), Recovery: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.Slot != layout.SlotRecovery || got.Tries != 0 || n.slots() != slot.Initial() {
		t.Errorf("got slot %s, %d tries, state %+v", got.Slot, got.Tries, n.slots())
	}
	if n.loader.staged != nil {
		t.Error("the boot loader of recovery is staged: the slots' is newer, or was proven")
	}
	n.checkSlot(t, layout.SlotRecovery, want)
	n.untouched(t, layout.SlotA, layout.SlotB)
}

// wantIncomplete checks that the upgrade failed after its first write, and that the node
// boots what it booted before.
func (n *testNode) wantIncomplete(t *testing.T, err error) {
	t.Helper()
	if incomplete, ok := errors.AsType[*IncompleteError](err); !ok || incomplete.Slot != "b" || incomplete.Good != "a" {
		t.Errorf("got %v, want an *IncompleteError about slot b, with a good", err)
	}
	if n.slots().Good != "a" || n.slots().Condition("b") != slot.Bad {
		t.Errorf("got state %+v, want a good and b bad", n.slots())
	}
	if choice, _ := n.slots().Boot(); choice.Slot != "a" {
		t.Errorf("slot %s is booted next, want a", choice.Slot)
	}
	n.untouched(t, layout.SlotA, layout.SlotRecovery)
}

// wantOrder checks that each step is on the medium before the next one begins.
func wantOrder(t *testing.T, order []string) {
	t.Helper()
	begin, end := []string{"state", "boot-b", "boot-b sync", "root-b"}, []string{"boot-b", "root-b sync", "boot-b sync", "state"}
	if len(order) < 15 {
		t.Fatalf("only %d changes: %q", len(order), order)
	}
	if diff := cmp.Diff(begin, order[:4]) + cmp.Diff(end, order[len(order)-4:]); diff != "" {
		t.Errorf("order of changes: -want +got\n%s", diff)
	}
}

// TestEveryInterruption: whichever change fails, or is the last before the context
// ends, the good slot stays good and the next upgrade works.
func TestEveryInterruption(t *testing.T) {
	image, want := recorded(t, imageOf(t, releaseOf()))
	src := "dir:" + store(t, image)
	n := newNode(t)
	var order []string
	n.fail = func(what string) error { order = append(order, what); return nil }
	if _, err := Run(t.Context(), n.Installation, Options{Source: src}); err != nil {
		t.Fatal(err)
	}
	wantOrder(t, order)
	for _, how := range []string{"EIO", "cancel"} {
		for at := range order {
			t.Run(fmt.Sprintf("%s at %d, %s", how, at, order[at]), func(t *testing.T) {
				n := newNode(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				count := 0
				n.fail = func(string) error {
					if count++; count-1 != at {
						return nil
					}
					if how == "cancel" {
						cancel()
						return nil
					}
					return unix.EIO
				}
				_, err := Run(ctx, n.Installation, Options{Source: src})
				switch {
				case how == "cancel" && at == len(order)-1: // the upgrade was already done
					if err != nil {
						t.Error(err)
					}
				case how == "EIO" && at == 0:
					if !errors.Is(err, unix.EIO) || n.slots() != slot.Initial() || len(n.writes) != 1 {
						t.Errorf("got %v, state %+v, writes %v", err, n.slots(), n.writes)
					}
				default:
					n.wantIncomplete(t, err)
					if want := map[string]error{"EIO": unix.EIO, "cancel": context.Canceled}[how]; !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
				}
				n.fail = nil
				if _, err := Run(t.Context(), n.Installation, Options{Source: src}); err != nil {
					t.Errorf("the next upgrade: %v", err)
				}
				n.checkSlot(t, "b", want)
			})
		}
	}
}

// TestErrorsOfTheEnds: the first sector and the last step may be on the medium even if
// their write fails.
func TestErrorsOfTheEnds(t *testing.T) {
	image, _ := recorded(t, imageOf(t, releaseOf()))
	src := "dir:" + store(t, image)
	for name, prepare := range map[string]func(n *testNode){
		"the first sector is written, and not confirmed": func(n *testNode) { n.env.late = unix.EIO },
		"a partition that does not close":                func(n *testNode) { n.closing = unix.EIO },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			prepare(n)
			_, err := Run(t.Context(), n.Installation, Options{Source: src})
			n.wantIncomplete(t, err)
			if !errors.Is(err, unix.EIO) {
				t.Errorf("got %v, want EIO", err)
			}
			n.env.late, n.closing = nil, nil
			if _, err := Run(t.Context(), n.Installation, Options{Source: src}); err != nil {
				t.Errorf("the next upgrade: %v", err)
			}
		})
	}
}

// TestSpoiledFirst: an old kernel is never beside a new root.
func TestSpoiledFirst(t *testing.T) {
	n := newNode(t)
	if _, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, imageOf(t, releaseOf()))}); err != nil {
		t.Fatal(err)
	}
	clear(n.writes)
	n.fail = func(what string) error {
		if what == layout.SlotB.Root() {
			return unix.EIO
		}
		return nil
	}
	_, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, imageOf(t, releaseOf()))})
	n.wantIncomplete(t, err)
	f, err := os.Open(filepath.Join(n.dir, "boot-b"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := diskfat.Read(file.New(f, true), bootSize, 0, 512); err == nil {
		t.Error("the boot partition is still a file system")
	}
}

// TestBadMedium: the medium does not hold what was written.
func TestBadMedium(t *testing.T) {
	image, _ := recorded(t, imageOf(t, releaseOf()))
	src := "dir:" + store(t, image)
	for _, part := range []string{"root-b", "boot-b"} {
		t.Run(part, func(t *testing.T) {
			n := newNode(t)
			syncs := 0
			n.Open = func(name string) (Device, error) {
				d, err := n.open(name)
				if err == nil && name == part {
					d = &forgetful{d.(*testDevice), &syncs}
				}
				return d, err
			}
			_, err := Run(t.Context(), n.Installation, Options{Source: src})
			n.wantIncomplete(t, err)
			if !errors.Is(err, ErrReadBack) || !strings.Contains(err.Error(), "partition "+part) {
				t.Errorf("got %v, want ErrReadBack about %s", err, part)
			}
		})
	}
}

// forgetful is a device with a byte that changes after it was written.
type forgetful struct {
	*testDevice
	forgot *int
}

func (d *forgetful) Forget() error {
	*d.forgot++
	b := make([]byte, 1)
	const at = 1 << 20
	if _, err := d.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 0x40
	_, err := d.Partition.File.WriteAt(b, at)
	return errors.Join(err, d.testDevice.Forget())
}

// damaged returns a layout of the image with a changed byte in the lowest layer.
func damaged(t *testing.T, image v1.Image) (dir string, blob v1.Hash) {
	t.Helper()
	dir = store(t, image)
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob = manifest.Layers[0].Digest
	path := filepath.Join(dir, "blobs", "sha256", blob.Hex)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, blob
}

// TestBadImages: images whose faults show only in the middle of an upgrade. The builder's
// record is about their layers, and is false.
func TestBadImages(t *testing.T) {
	image, _ := recorded(t, imageOf(t, releaseOf()))
	altered, blob := damaged(t, image)
	lie := func(image v1.Image) string {
		layers, err := source.Layers(image, nil)
		if err != nil {
			t.Fatal(err)
		}
		return store(t, annotated(image, layout.AnnotationRootSalt, slotimage.Salt(layers), layout.AnnotationRootHash, strings.Repeat("0", 64),
			layout.AnnotationRootSize, "4096", layout.AnnotationBootSize, "4096"))
	}
	heavy, _ := recorded(t, imageOf(t, releaseOf(), layerOf(t, "boot/initrd", noise(bootSize, 7))))
	with := func(layer v1.Layer) string { return lie(imageOf(t, releaseOf(), layer)) }
	for _, tt := range []struct {
		name, dir string
		is        error
		says      string
	}{
		{"altered", altered, source.ErrAltered, blob.String()},
		{"another root", lie(image), ErrRootHash, "must be 000"},
		{"larger than the slot", with(layerOf(t, "usr/lib/a", noise(rootSize, 7))), ErrTooLarge, "partition root-b has 16 MiB"},
		{"kernel larger than the boot partition", store(t, annotated(heavy, layout.AnnotationBootSize, "4096")), ErrTooLarge, "partition boot-b"},
		{"no kernel", with(layerOf(t, "boot/.wh.vmlinuz", "")), slotimage.ErrNoKernel, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			_, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + tt.dir})
			n.wantIncomplete(t, err)
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.is, tt.says)
			}
			if _, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, image)}); err != nil {
				t.Errorf("the next upgrade: %v", err)
			}
		})
	}
}

func TestTwoAtOnce(t *testing.T) {
	image := imageOf(t, releaseOf())
	n := newNode(t)
	src := "dir:" + store(t, image)
	var second error
	n.fail = func(what string) error {
		if what == "state" && second == nil {
			_, second = Run(t.Context(), n.Installation, Options{Source: src})
		}
		return nil
	}
	if _, err := Run(t.Context(), n.Installation, Options{Source: src}); err != nil {
		t.Error(err)
	}
	if want := fmt.Sprintf("(pid %d)", os.Getpid()); !errors.Is(second, ErrBusy) || !strings.Contains(second.Error(), want) {
		t.Errorf("the second: got %v, want ErrBusy that says %s", second, want)
	}
}

func TestDamagedRecordIsReplaced(t *testing.T) {
	n := newNode(t)
	block, err := grubenv.Encode(map[string]string{"good": "a", "tries": "9"})
	if err != nil {
		t.Fatal(err)
	}
	n.env.Store = bootenvtest.Open(t, bootenvtest.PartitionWith(t, fat32.File{Path: "EFI/debian/" + bootconf.GRUBEnv, Data: block}))
	got, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, imageOf(t, releaseOf()))})
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], `tries="9"`) {
		t.Errorf("got %v, warnings %q", err, got.Warnings)
	}
}

// TestFromARegistry upgrades from a registry, after a try in which the registry went away
// in the middle.
func TestFromARegistry(t *testing.T) {
	var gone atomic.Bool
	inner := registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			panic(http.ErrAbortHandler)
		}
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	image, want := recorded(t, imageOf(t, releaseOf()))
	ref := strings.TrimPrefix(server.URL, "http://") + "/edge/node:v1.1.0"
	tag, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	n := newNode(t)
	o := Options{Source: "oci:" + ref, Registry: source.Options{StallTimeout: time.Second, Retries: 1, Backoff: time.Millisecond}}
	o.Progress = func(p Progress) { gone.Store(p.Step == StepWrite) }
	_, err = Run(t.Context(), n.Installation, o)
	n.wantIncomplete(t, err)
	gone.Store(false)
	o.Progress = nil
	if _, err := Run(t.Context(), n.Installation, o); err != nil {
		t.Fatal(err)
	}
	n.checkSlot(t, "b", want)
}

func TestResultJSON(t *testing.T) {
	got, err := json.Marshal(Result{Slot: "b", Warnings: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"slot":"b","source":"","version":"","from":"","sameVersion":false,"digest":"","rootHash":"","bytes":0,"tries":0,"seconds":0,"verified":false,"warnings":[]}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
