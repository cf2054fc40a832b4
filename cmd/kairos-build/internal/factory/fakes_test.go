// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/recipes"
)

// events are the calls of a build to its fakes, in order.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, fmt.Sprintf(format, args...))
}

// inOrder returns the calls with the inputs, which are written side by side, in the order of a
// recipe.
func (e *events) inOrder() []string {
	order := []string{recipes.InputBase, recipes.InputPackages, recipes.InputTools, recipes.InputKernel, recipes.InputBootloader}
	rank := func(event string) int { return slices.Index(order, strings.TrimPrefix(event, "write ")) }
	list := slices.Clone(e.list)
	for from := 0; from < len(list); from++ {
		to := from
		for to < len(list) && rank(list[to]) >= 0 {
			to++
		}
		slices.SortFunc(list[from:to], func(a, b string) int { return rank(a) - rank(b) })
		from = max(from, to)
	}
	return list
}

// fakePackages makes a file from each list, with its names and the version.
type fakePackages struct {
	*events
	epoch   time.Time
	version string
	err     error
	during  func(ctx context.Context, input string) error // called while a list is written
}

func (f *fakePackages) Database() string { return "var/lib/dpkg/status" }

func (f *fakePackages) BaseDatabases() []string { return []string{f.Database()} }

func (f *fakePackages) Type() string { return "deb" }

// Installed reads a name and a version from each line.
func (f *fakePackages) Installed(database []byte) (all []packages.Installed, err error) {
	for line := range strings.Lines(string(database)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, packages.Installed{Name: name, Version: version, Arch: "amd64", Source: name, SourceVersion: version})
	}
	return all, nil
}

func (f *fakePackages) Resolve(_ context.Context, c recipes.Choice) (*packages.Set, error) {
	f.add("resolve")
	facts := packages.Facts{Epoch: f.epoch, Snapshots: map[string]time.Time{"main": f.epoch.Add(time.Hour)}}
	for _, suite := range []string{"trixie", "trixie-updates", "trixie-security"} {
		facts.Indexes = append(facts.Indexes, packages.Index{
			Archive: "main", Suite: suite, URL: "http://archive.example/" + suite + "/InRelease", Date: f.epoch,
			SHA256: strings.Repeat("1", 64), Key: "Test <test@example.org>", Fingerprint: strings.Repeat("A", 40),
		})
	}
	facts.Lists = append(facts.Lists, f.list(recipes.InputBase, []string{"base-files"}))
	for _, l := range c.PackageLists() {
		facts.Lists = append(facts.Lists, f.list(l.Input, l.Names))
	}
	return f.set(facts), f.err
}

// Locked is what Resolve returned when the lock was made.
func (f *fakePackages) Locked(_ recipes.Choice, facts packages.Facts, file string) (*packages.Set, error) {
	f.add("locked %s", filepath.Base(file))
	return f.set(facts), f.err
}

// list has the packages with these names, in the version of now.
func (f *fakePackages) list(input string, names []string) packages.List {
	l := packages.List{Input: input}
	for _, name := range names {
		l.Packages = append(l.Packages, packages.Package{
			Name: name, Version: f.version, Arch: "amd64", Archive: "main", Path: "pool/" + name + "_" + f.version + ".deb", Size: 1, SHA256: digestOf([]byte(name + f.version)),
		})
	}
	return l
}

// set makes the inputs of lists.
func (f *fakePackages) set(facts packages.Facts) *packages.Set {
	set := &packages.Set{Facts: facts}
	for _, l := range facts.Lists {
		set.Inputs = append(set.Inputs, f.source(l, facts.Epoch))
	}
	set.Over = func(database []byte) ([]inputs.Source, error) {
		f.add("over %s", database)
		return set.Inputs[1:], nil
	}
	return set
}

func (f *fakePackages) source(l packages.List, epoch time.Time) inputs.Source {
	var content []byte
	for _, p := range l.Packages {
		content = append(content, p.Name+" "+p.Version+"\n"...)
	}
	return inputs.Source{Name: l.Input, Key: content, Write: func(ctx context.Context, w io.Writer, report inputs.Report) error {
		f.add("write %s", l.Input)
		report(1, 2)
		if f.during != nil {
			if err := f.during(ctx, l.Input); err != nil {
				return err
			}
		}
		return inputs.Tree(w, []inputs.File{{Path: l.Input, Mode: 0o644, Data: content}}, epoch)
	}}
}

// fakeBuilder makes an image that differs when anything about the request does.
type fakeBuilder struct {
	*events
	checked, err error
	more         string            // content of the image
	files        []testimage.Entry // more files of the image
	without      string            // a file that the image lacks
	requests     []engine.Request
	native       string // its architecture; default amd64
}

func (f *fakeBuilder) Native(context.Context) (string, error) {
	return cmp.Or(f.native, "amd64"), nil
}

func (f *fakeBuilder) Check(context.Context) error {
	f.add("check")
	return f.checked
}

func (f *fakeBuilder) Solve(_ context.Context, r engine.Request) (engine.Result, error) {
	f.add("solve")
	f.requests = append(f.requests, r)
	result := engine.Result{Steps: []engine.Step{{Name: "packages: install", Cached: true}}}
	if f.err != nil {
		return result, f.err
	}
	files := slices.DeleteFunc(bootable(fmt.Sprint(r.Definition.Def)+f.more), func(e testimage.Entry) bool { return e.Header.Name == f.without })
	return result, writeImage(r.Image, slices.Concat(files, f.files))
}

// writeImage writes an image that a disk can be made from.
func writeImage(i *engine.Image, files []testimage.Entry) error {
	image, err := testimage.Image(files)
	if err != nil {
		return err
	}
	if image, err = testimage.For(image, i.Config.Architecture); err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config.Created.Time, config.Config.Labels = i.Epoch, i.Config.Config.Labels
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	path, err := ocilayout.Write(i.Dir, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendImage(image)
}

// bootable are the files that a disk needs: a kernel, an initrd, and files with the
// numbers by which GRUB's are checked.
func bootable(content string) []testimage.Entry {
	boot, core := make([]byte, 512), make([]byte, 4096)
	boot[510], boot[511] = 0x55, 0xaa
	binary.LittleEndian.PutUint16(core[508:], 7)
	binary.LittleEndian.PutUint16(core[510:], 0x820)
	loader := layout.ImageBoot[1:] + "/"
	var entries []testimage.Entry
	for _, f := range [][2]string{
		{layout.ImageKernel[1:], "kernel"}, {layout.ImageInitrd[1:], "initrd"}, {layout.ImageCmdline[1:], "console=ttyS0"},
		{layout.ImageRelease[1:], "KAIROS_VERSION=\"v1.0.0\"\n"}, {"content", content}, {"var/lib/dpkg/status", "base-files 1\nlinux-image-amd64 1\nof-the-base 3\n"},
		{loader + "bios/boot.img", string(boot)}, {loader + "bios/core.img", string(core)}, {loader + "bios/eltorito.img", strings.Repeat("x", 4096)}, {loader + "bios/boot_hybrid.img", string(boot)}, {loader + "grub-dir", "debian\n"}, {loader + "grub.cfg", "script"},
		{loader + "efi/shimx64.efi", "shim"}, {loader + "efi/grubx64.efi", "grub"}, {loader + "efi/mmx64.efi", "mok"},
	} {
		entries = append(entries, testimage.File(f[0], f[1]))
	}
	return entries
}

// A world is a state folder and an output folder with the fakes of a build.
type world struct {
	*events
	packages *fakePackages
	builder  *fakeBuilder
	options  Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	reporter, err := progress.New(progress.None, io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	e := &events{}
	w := &world{e, &fakePackages{events: e, epoch: time.Unix(1_700_000_000, 0).UTC(), version: "1"}, &fakeBuilder{events: e}, Options{}}
	w.options = Options{
		Flavor: "debian-13", Version: "v1.0.0", Dir: t.TempDir(), State: t.TempDir(), Sizes: small(),
		Families: map[string]Packages{"apt": w.packages}, Builder: w.builder,
		Maker:    evidence.Builder{Version: "v0.9.0", Go: "go1.26.8", Engine: "v0.34.2"},
		Program:  func(_, name string) ([]byte, error) { return []byte("program " + name), nil },
		Progress: reporter,
	}
	return w
}

// small are sizes of a disk that is quick to write.
func small() layout.Sizes {
	return layout.Sizes{EFI: 34 * layout.MiB, Boot: 34 * layout.MiB, Root: 4 * layout.MiB, OEM: 16 * layout.MiB, Persistent: 16 * layout.MiB}
}

// build runs a build that must succeed, and returns its events.
func (w *world) build(t *testing.T) (*Result, []string) {
	t.Helper()
	w.list = nil
	r, err := Build(t.Context(), w.options)
	if err != nil {
		t.Fatal(err)
	}
	return r, w.inOrder()
}

func digestOf(data []byte) string { return digest.FromBytes(data).Encoded() }
