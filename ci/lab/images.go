// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	disklayout "github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// imageName is the folder beside the disk with the image as an OCI layout.
const imageName = "image"

// Versions that the scenarios make from the image. They are above and below every
// version of a real build.
const (
	NextVersion  = "v9999.1.0"
	spareVersion = "v9999.0.0"
	pastVersion  = "v0.0.0-0"
)

// Images are images made from the tested one, which the scenarios share.
type Images struct {
	Dir     string   // temporary
	Armed   string   // a disk that has another version in slot b
	Next    v1.Image // NextVersion; its ImageMark differs too
	Other   v1.Image // of another release; nil if there is none
	base    v1.Image
	written *slotimage.Image // the image in slot b of Armed
}

// ImageMark is a file below a persistent path. Its contents differ in every version
// made here.
const ImageMark = "opt/kairos-acceptance/version"

// MakeImages makes the next version, and a disk with spareVersion in slot b, so that an
// upgrade to the next version must write all of it. It takes the image beside the disk.
// to is a folder with an image of another release, or empty.
func (l *Lab) MakeImages(ctx context.Context, to string) error {
	return l.makeImages(func(i *Images) error {
		config, err := markedConfig(i.base)
		if err != nil {
			return err
		}
		if err := i.makeNext(ctx, l.Artifact, config); err != nil {
			return err
		}
		spare, err := release(i.base, spareVersion, nil)
		if err != nil {
			return err
		}
		if err := i.arm(ctx, l.Artifact, spare); err != nil || to == "" {
			return err
		}
		i.Other, err = testimage.Open(filepath.Join(to, imageName))
		return err
	})
}

// MakeNext makes only the next version, with more files, and a disk with it in slot b.
func (l *Lab) MakeNext(ctx context.Context, more func(base v1.Image) (map[string][]byte, error)) error {
	return l.makeImages(func(i *Images) error {
		files, err := more(i.base)
		if err != nil {
			return err
		}
		return i.makeNext(ctx, l.Artifact, files)
	})
}

func (l *Lab) makeImages(fill func(*Images) error) error {
	base, err := testimage.Open(filepath.Join(filepath.Dir(l.Artifact.Path), imageName))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kairos-build-lab-")
	if err != nil {
		return err
	}
	i := &Images{Dir: dir, Armed: filepath.Join(dir, "armed.raw"), base: base}
	if err := fill(i); err != nil {
		return errors.Join(err, i.remove())
	}
	l.Images = i
	return nil
}

func (i *Images) makeNext(ctx context.Context, d *Disk, files map[string][]byte) error {
	next, err := release(i.base, NextVersion, files)
	if err != nil {
		return err
	}
	if err := qemu.CopySparse(ctx, i.Armed, d.Path); err != nil {
		return err
	}
	if err := i.arm(ctx, d, next); err != nil {
		return err
	}
	i.Next, err = annotated(next, i.written)
	return err
}

// arm writes an image to slot b.
func (i *Images) arm(ctx context.Context, d *Disk, image v1.Image) (err error) {
	if i.written, err = install(ctx, i.Armed, d, disklayout.SlotB, image); err != nil {
		return fmt.Errorf("writing slot b of the scenarios' disk: %w", err)
	}
	return nil
}

// remove deletes the images' folder. i may be nil.
func (i *Images) remove() error {
	if i == nil {
		return nil
	}
	return os.RemoveAll(i.Dir)
}

// annotated adds the annotations that the builder makes.
func annotated(image v1.Image, written *slotimage.Image) (v1.Image, error) {
	layers, err := source.Layers(image, nil)
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, written.Record(layers, bootconf.Loader{})).(v1.Image), nil
}

// Version returns the image as another version, with more files and with the builder's
// record.
func (i *Images) Version(ctx context.Context, version string, files map[string][]byte) (v1.Image, error) {
	image, err := release(i.base, version, files)
	if err != nil {
		return nil, err
	}
	layers, err := source.Layers(image, nil)
	if err != nil {
		return nil, err
	}
	written, err := slotimage.Write(ctx, nowhere{}, layers, bootconf.Loader{})
	if err != nil {
		return nil, fmt.Errorf("measuring version %s of the image: %w", version, err)
	}
	return annotated(image, written)
}

// nowhere discards what is written to it.
type nowhere struct{}

// WriteAt implements io.WriterAt.
func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// ReadAt implements io.ReaderAt. It always returns io.EOF.
func (nowhere) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

// Wrong returns images that a node must refuse, by their tags.
func (i *Images) Wrong() (map[string]v1.Image, error) {
	past, err := release(i.base, pastVersion, nil)
	if err != nil {
		return nil, err
	}
	config, err := i.base.ConfigFile()
	if err != nil {
		return nil, err
	}
	foreign, err := testimage.For(i.Next, "riscv64")
	if err != nil {
		return nil, err
	}
	plain, err := testimage.Image([]testimage.Entry{testimage.File("etc/os-release", "ID=plain\n")})
	if err != nil {
		return nil, err
	}
	if plain, err = testimage.For(plain, config.Architecture); err != nil {
		return nil, err
	}
	huge := mutate.Annotations(i.Next, map[string]string{disklayout.AnnotationRootSize: fmt.Sprint(1 << 40)}).(v1.Image)
	return map[string]v1.Image{"past": past, "riscv": foreign, "plain": plain, "huge": huge}, nil
}

// ImageDigest is the digest of the image beside the disk, or "" if there is none.
func (d *Disk) ImageDigest() (string, error) {
	path := filepath.Join(filepath.Dir(d.Path), imageName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	image, err := testimage.Open(path)
	if err != nil {
		return "", err
	}
	digest, err := image.Digest()
	return digest.String(), err
}

// ConfigMark is the last line of the boot loader's config in the next version. The boot
// loader's programs in that version are those of the tested image.
const ConfigMark = "# " + NextVersion

func markedConfig(base v1.Image) (map[string][]byte, error) {
	name := disklayout.ImageBoot[1:] + "/" + bootloader.Config
	found, err := source.Files(base, name)
	if err != nil {
		return nil, err
	}
	if found[name] == nil {
		return nil, fmt.Errorf("the image has no /%s", name)
	}
	return map[string][]byte{name: append(found[name], ConfigMark+"\n"...)}, nil
}

var versionLine = regexp.MustCompile(`(?m)^(KAIROS_(?:VERSION|RELEASE))=.*$`)

// release returns base with another version: one more layer has the release file,
// ImageMark and the given files.
func release(base v1.Image, version string, files map[string][]byte) (v1.Image, error) {
	name := disklayout.ImageRelease[1:]
	found, err := source.Files(base, name)
	if err != nil {
		return nil, err
	}
	if found[name] == nil {
		return nil, fmt.Errorf("the image has no %s", disklayout.ImageRelease)
	}
	all := map[string][]byte{
		name:      versionLine.ReplaceAll(found[name], fmt.Appendf(nil, `$1="%s"`, version)),
		ImageMark: []byte(version + "\n"),
	}
	maps.Copy(all, files)
	layer, err := LayerOf(all)
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, fmt.Errorf("making version %s of the image: %w", version, err)
	}
	return relabel(image, version)
}

// relabel sets the version in the labels and annotations.
func relabel(image v1.Image, version string) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	changed := config.Config
	changed.Labels = maps.Clone(changed.Labels)
	if changed.Labels == nil {
		changed.Labels = map[string]string{}
	}
	changed.Labels[ocispec.AnnotationVersion] = version
	changed.Labels[disklayout.ReleaseLabels()["KAIROS_VERSION"]] = version
	if image, err = mutate.Config(image, changed); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, map[string]string{ocispec.AnnotationVersion: version}).(v1.Image), nil
}

// LayerOf makes a layer with these files, by path.
func LayerOf(files map[string][]byte) (v1.Layer, error) {
	var entries []testimage.Entry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, testimage.File(name, string(files[name])))
	}
	return testimage.Layer(entries...)
}

// install writes an image to a slot of a disk file, as the builder does.
func install(ctx context.Context, path string, d *Disk, to disklayout.Slot, image v1.Image) (_ *slotimage.Image, err error) {
	layers, err := source.Layers(image, nil)
	if err != nil {
		return nil, err
	}
	root, err := d.Partition(to.Root())
	if err != nil {
		return nil, err
	}
	boot, err := d.Partition(to.Boot())
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	written, err := slotimage.Write(ctx, struct {
		io.ReaderAt
		io.WriterAt
	}{io.NewSectionReader(f, root.Offset(), math.MaxInt64-root.Offset()), io.NewOffsetWriter(f, root.Offset())}, layers, bootconf.Loader{})
	if err != nil {
		return nil, err
	}
	if written.Tree.Size > root.Size() {
		return nil, fmt.Errorf("the root image has %d bytes, partition %q %d", written.Tree.Size, root.Name, root.Size())
	}
	return written, fat32.Write(io.NewOffsetWriter(f, boot.Offset()), boot.Size(), written.BootFiles(bootconf.Loader{}), fat32.Options{Label: to.BootFS()})
}
