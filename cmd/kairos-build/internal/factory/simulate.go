// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/erofs/go-erofs"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/simulate"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/userdata"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
	"github.com/kairos-build/kairos-build/framework/source"
)

// SimulateOptions are what `kairos-build simulate` asks for.
type SimulateOptions struct {
	Image     string // as ImagePath has it
	Arch      string // default amd64
	Configs   []simulate.Source
	MachineID string // default simulate.DefaultMachineID
	Progress  Reporter
}

// ImagePath is the image that ref names: that of a folder which
// `kairos-build flavor` wrote, else ref itself.
func ImagePath(ref string) string {
	inside := filepath.Join(ref, imageName)
	if !exists(filepath.Join(ref, "index.json")) && exists(filepath.Join(inside, "index.json")) {
		return inside
	}
	return ref
}

// ReadSources reads cloud-configs and decodes them. Those with an error are in
// the result too; the error is about files that cannot be read.
func ReadSources(paths []string, how config.Options) ([]simulate.Source, error) {
	var out []simulate.Source
	var errs []error
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("cloud-config: %w", err))
			continue
		}
		documents, err := userdata.Options{Configs: how}.Read(path, data)
		errs = append(errs, err)
		for _, d := range documents {
			out = append(out, simulate.Source{File: d.File, Data: d.Data})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, badInput(err)
	}
	return out, nil
}

// Simulate says what cloud-configs would change on a node of an image. The
// root image is made as for a disk, and kept for the next time.
func Simulate(ctx context.Context, o SimulateOptions) (_ *simulate.Result, err error) {
	root, about, err := openRoot(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.close()) }()
	rec := &recorder{to: o.Progress}
	var result *simulate.Result
	err = rec.step("simulation of a first boot", func(progress.Step) (_ bool, err error) {
		result, err = simulate.Run(ctx, simulate.Options{Image: root.files, Configs: o.Configs, Arch: o.Arch, MachineID: o.MachineID})
		return false, err
	})
	if err != nil {
		return nil, fmt.Errorf("simulating %s: %w", o.Image, err)
	}
	result.Image = about
	return result, nil
}

// An openedRoot is the file system of an image.
type openedRoot struct {
	files fs.FS
	close func() error
}

func openRoot(ctx context.Context, o SimulateOptions) (_ openedRoot, about simulate.Image, err error) {
	state, _, err := State(engine.Options{})
	if err != nil {
		return openedRoot{}, about, err
	}
	image, err := source.Open(ctx, ImagePath(o.Image), source.Options{Arch: o.Arch})
	if errors.Is(err, source.ErrPlatform) {
		err = fmt.Errorf("%w; choose with --arch", err)
	}
	if err != nil {
		return openedRoot{}, about, badInput(err)
	}
	digest, err := image.Digest()
	if err != nil {
		return openedRoot{}, about, fmt.Errorf("%s: %w", o.Image, err)
	}
	rec := &recorder{to: o.Progress}
	root, err := rec.makeRoot(ctx, state, image)
	if err != nil {
		return openedRoot{}, about, fmt.Errorf("%s: %w", o.Image, err)
	}
	f, err := os.Open(root.path)
	if err != nil {
		return openedRoot{}, about, err
	}
	files, err := erofs.Open(f)
	if err != nil {
		return openedRoot{}, about, errors.Join(fmt.Errorf("reading the root image: %w", err), f.Close())
	}
	about = simulate.Image{Reference: o.Image, Digest: digest.String(), OS: prettyName(files), Version: root.image.Release["KAIROS_VERSION"]}
	return openedRoot{files, f.Close}, about, nil
}

// prettyName is what an image calls its distribution, or empty.
func prettyName(files fs.FS) string {
	return osrelease.Of(func(name string) ([]byte, error) { return fs.ReadFile(files, name) })["PRETTY_NAME"]
}
