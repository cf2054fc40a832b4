// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// TestComparer: data of several pieces is compared with the medium, piece by piece.
func TestComparer(t *testing.T) {
	const at, piece = 4096, 1 << 20
	data := []byte(noise(2*piece+512, 5))
	medium := append(make([]byte, at), data...)
	changed := bytes.Clone(medium)
	changed[len(changed)-1] ^= 1
	for _, tt := range []struct {
		name   string
		medium []byte
		n      int
		says   string
	}{
		{"the same", medium, len(data), ""},
		{"more behind it", append(bytes.Clone(medium), 1), len(data), ""},
		{"the last byte", changed, 2 * piece, fmt.Sprintf("the 512 bytes at %d are not what was written", at+2*piece)},
		{"a byte is missing", medium[:len(medium)-1], 2 * piece, fmt.Sprintf("at %d: EOF", at+2*piece)},
	} {
		n, err := comparer{bytes.NewReader(tt.medium)}.WriteAt(data, at)
		if n != tt.n || (err == nil) != (tt.says == "") || err != nil && err.Error() != tt.says {
			t.Errorf("%s: got %d, %v, want %d, %q", tt.name, n, err, tt.n, tt.says)
		}
	}
}

// A madeUp image has a manifest and a configuration, whatever they say.
type madeUp struct {
	v1.Image
	manifest v1.Manifest
	config   v1.ConfigFile
}

func (m madeUp) Manifest() (*v1.Manifest, error)     { return &m.manifest, nil }
func (m madeUp) ConfigFile() (*v1.ConfigFile, error) { return &m.config, nil }

func TestCheckManifest(t *testing.T) {
	layer := v1.Descriptor{MediaType: types.OCILayer, Size: 1, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}}
	with := func(change func(l *v1.Descriptor)) []v1.Descriptor {
		changed := layer
		change(&changed)
		return []v1.Descriptor{layer, changed}
	}
	for _, tt := range []struct {
		name     string
		layers   []v1.Descriptor
		diffIDs  int
		os, arch string
		says     string
	}{
		{"good", []v1.Descriptor{layer, layer}, 2, "linux", "amd64", ""},
		{"no layers", nil, 0, "linux", "amd64", "it lists 0 layers, its configuration 0"},
		{"fewer in the configuration", []v1.Descriptor{layer, layer}, 1, "linux", "amd64", "it lists 2 layers, its configuration 1"},
		{"an empty layer", with(func(l *v1.Descriptor) { l.Size = 0 }), 2, "linux", "amd64", "layer 1: " + string(types.OCILayer) + " of 0 bytes"},
		{"another digest", with(func(l *v1.Descriptor) { l.Digest.Algorithm = "sha512" }), 2, "linux", "amd64", "layer 1: "},
		{"no layer", with(func(l *v1.Descriptor) { l.MediaType = types.OCIConfigJSON }), 2, "linux", "amd64", "layer 1: " + string(types.OCIConfigJSON)},
		{"another system", []v1.Descriptor{layer}, 1, "windows", "amd64", "it is for windows/amd64, this node is linux/amd64"},
		{"another architecture", []v1.Descriptor{layer}, 1, "linux", "arm64", "it is for linux/arm64, this node is linux/amd64"},
	} {
		image := madeUp{empty.Image, v1.Manifest{Layers: tt.layers}, v1.ConfigFile{OS: tt.os, Architecture: tt.arch, RootFS: v1.RootFS{DiffIDs: make([]v1.Hash, tt.diffIDs)}}}
		err := checkManifest(image, "amd64")
		if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.says)
		}
	}
}

// TestStored: a manifest that lies about sizes does not make the total negative.
func TestStored(t *testing.T) {
	of := func(sizes ...int64) int64 {
		m := &v1.Manifest{}
		for _, n := range sizes {
			m.Layers = append(m.Layers, v1.Descriptor{Size: n})
		}
		return stored(m)
	}
	if a, b := of(1, 2, 3), of(5, math.MaxInt64, 7); a != 6 || b != math.MaxInt64 {
		t.Errorf("got %d and %d bytes, want 6 and %d", a, b, int64(math.MaxInt64))
	}
}

// TestRoom: a partition may be filled to its end, and the error says what is needed.
func TestRoom(t *testing.T) {
	n := newNode(t)
	n.sizes["root-b"] = 2 << 20
	dev, err := n.open("root-b")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	d := &target{Device: dev, name: "root-b"}
	for need, says := range map[int64]string{
		2 << 20: "", 2<<20 + 1: "has 2 MiB, it needs 3 MiB", 3 << 20: "has 2 MiB, it needs 3 MiB", 3<<20 + 1: "has 2 MiB, it needs 4 MiB",
	} {
		if err := d.room(need); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%d bytes: got %v, want %q", need, err, says)
		}
	}
	for _, w := range []io.WriterAt{d, &nowhere{d, t.Context()}, &during{d, t.Context()}} {
		for off, want := range map[int64]error{0: nil, 2<<20 - 4: nil, 2<<20 - 3: ErrTooLarge, math.MaxInt64 - 4: ErrTooLarge, math.MaxInt64 - 3: ErrTooLarge, math.MaxInt64: ErrTooLarge} {
			if _, err := w.WriteAt([]byte("data"), off); !errors.Is(err, want) {
				t.Errorf("%T: 4 bytes at %d: got %v, want %v", w, off, err, want)
			}
		}
	}
	if _, err := d.ReadAt(make([]byte, 8), 2<<20-4); err != io.EOF { //nolint:errorlint // the end must stay io.EOF itself
		t.Errorf("reading beyond the end: %v", err)
	}
	if _, err := d.ReadAt(make([]byte, 8), -1); err == nil || !strings.HasPrefix(err.Error(), "reading partition root-b: ") {
		t.Errorf("reading before the beginning: %v", err)
	}
}

// TestRecordThatIsNotWhole: only a record with both sizes is trusted, and its root hash
// counts. The others are measured.
func TestRecordThatIsNotWhole(t *testing.T) {
	image, _ := recorded(t, imageOf(t, releaseOf()))
	layers, err := source.Layers(image, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong := []string{layout.AnnotationRootSalt, slotimage.Salt(layers), layout.AnnotationRootHash, strings.Repeat("0", 64)}
	for _, tt := range []struct {
		name        string
		annotations []string
		is          error
	}{
		{"without sizes", nil, nil},
		{"without the size of the root", []string{layout.AnnotationBootSize, "4096"}, nil},
		{"without the size of the boot partition", []string{layout.AnnotationRootSize, "4096"}, nil},
		{"a root that fits to the byte", []string{layout.AnnotationRootSize, fmt.Sprint(rootSize)}, nil},
		{"a size of nothing", []string{layout.AnnotationRootSize, "0"}, ErrManifest},
		{"both sizes", []string{layout.AnnotationRootSize, "1", layout.AnnotationBootSize, "1"}, ErrRootHash},
	} {
		n := newNode(t)
		_, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, annotated(imageOf(t, releaseOf()), append(tt.annotations, wrong...)...))})
		if !errors.Is(err, tt.is) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.is)
		}
	}
}

func TestSourceWithoutAName(t *testing.T) {
	for _, src := range []string{"dir:", "oci:", "", "node.tar", "http://example.org"} {
		if _, err := Run(t.Context(), newNode(t).Installation, Options{Source: src}); !errors.Is(err, ErrSource) {
			t.Errorf("%q: got %v, want ErrSource", src, err)
		}
	}
}

// TestLockOfNobody: the lock is held, and its file does not say by whom.
func TestLockOfNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "lock")
	l, err := acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(path); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "(pid unknown)") {
		t.Errorf("got %v", err)
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	if l, err = acquire(path); err != nil {
		t.Fatalf("the lock was given back: %v", err)
	}
	if data, err := os.ReadFile(path); string(data) != fmt.Sprintln(os.Getpid()) || err != nil {
		t.Errorf("the lock says %q, %v", data, err)
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(filepath.Join(path, "below")); !errors.Is(err, unix.ENOTDIR) || !strings.HasPrefix(err.Error(), "locking upgrades: ") {
		t.Errorf("got %v", err)
	}
}

// TestUnprovenSlotIsReplaced: the slot waits for its first boot, and another image comes.
func TestUnprovenSlotIsReplaced(t *testing.T) {
	n := newNode(t)
	n.come(slot.State{Good: "a", Try: "b", Tries: 3})
	got, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, imageOf(t, releaseOf())), Tries: 1})
	if err != nil || got.Tries != 1 || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "slot b was waiting for its first boot") {
		t.Errorf("got %+v, %v", got, err)
	}
	if want := (slot.State{Good: "a", Try: "b", Tries: 1}); n.slots() != want {
		t.Errorf("got state %+v, want %+v", n.slots(), want)
	}
}

// TestReadBackEnds: an end of the context is no fault of the medium.
func TestReadBackEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	if err := readBackError(ctx, &target{name: "root-b"}, io.EOF); !errors.Is(err, ErrReadBack) || !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	cancel(enough)
	if err := readBackError(ctx, &target{name: "root-b"}, io.EOF); !errors.Is(err, enough) || errors.Is(err, ErrReadBack) {
		t.Errorf("got %v", err)
	}
}

// TestFewBytesWait: less than writeback bytes wait for the medium after any write.
func TestFewBytesWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "partition")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPartition(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	data := make([]byte, writeback/4)
	for i := range 10 {
		if _, err := p.WriteAt(data, int64(i*len(data))); err != nil {
			t.Fatal(err)
		}
		want, start := int64((i+1)%4*len(data)), int64(i/4*4*len(data))
		if p.dirty != want || p.start != start {
			t.Errorf("after write %d, %d bytes from %d wait, want %d from %d", i, p.dirty, p.start, want, start)
		}
	}
	if got, err := os.ReadFile(path); len(got) != 10*len(data) || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// TestFailsBeforeTheFirstWrite: if the state did not change, the slot is as it was.
func TestFailsBeforeTheFirstWrite(t *testing.T) {
	n := newNode(t)
	n.fail = func(string) error { return unix.EIO }
	_, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + store(t, imageOf(t, releaseOf()))})
	if incomplete, ok := errors.AsType[*IncompleteError](err); ok || !errors.Is(err, unix.EIO) {
		t.Errorf("got %v, and that slot %s is not complete", err, incomplete.Slot)
	}
}

// TestReleaseWithoutNumbers: a rolling release is neither older nor newer.
func TestReleaseWithoutNumbers(t *testing.T) {
	for _, pair := range [][2]string{{"13", "sid"}, {"sid", "13"}, {"sid", "forky"}, {"24.04", "24.x"}, {"24.x", "24.04"}} {
		u := newRun(Installation{Release: releaseOf(keyRelease, pair[0])}, Options{})
		if err := u.judge(releaseOf(keyRelease, pair[1])); err != nil {
			t.Errorf("from %s to %s: %v", pair[0], pair[1], err)
		}
	}
}

// TestLogOfTheRegistry: retries of a registry are in the log of the upgrade, unless they
// have a log of their own.
func TestLogOfTheRegistry(t *testing.T) {
	mine, other := slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)
	if u := newRun(Installation{}, Options{Log: mine}); u.Registry.Log != mine {
		t.Error("the registry does not get the log")
	}
	if u := newRun(Installation{}, Options{Log: mine, Registry: source.Options{Log: other}}); u.Registry.Log != other || u.Log != mine {
		t.Error("the registry's own log is replaced")
	}
}

// TestProgressGrows: each step begins at nothing, never goes back, and ends with all.
func TestProgressGrows(t *testing.T) {
	image, _ := recorded(t, imageOf(t, releaseOf()))
	last := map[string]Progress{}
	_, err := Run(t.Context(), newNode(t).Installation, Options{Source: "dir:" + store(t, image), Progress: func(p Progress) {
		before, begun := last[p.Step]
		if p.Done < before.Done || begun && p.Total != before.Total || !begun && p.Done != 0 {
			t.Errorf("%+v after %+v", p, before)
		}
		last[p.Step] = p
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{StepWrite, StepReadBack} {
		if p := last[step]; p.Done != p.Total || p.Total == 0 {
			t.Errorf("the end is %+v", p)
		}
	}
}
