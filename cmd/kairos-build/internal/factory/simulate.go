// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/simulate"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

// SimulateOptions are the options of `kairos-build simulate`.
type SimulateOptions struct {
	Image     string // an output folder of `kairos-build flavor`, or what source.Open takes
	Arch      string // default amd64
	Configs   []simulate.Source
	MachineID string // default simulate.DefaultMachineID
	State     string // folder that outlives a build; see MakeState
	Progress  progress.Reporter
}

// imagePath is the image that ref names: if ref is an output folder of
// `kairos-build flavor`, the image in it, else ref itself.
func imagePath(ref string) string {
	inside := filepath.Join(ref, imageName)
	if !exists(filepath.Join(ref, "index.json")) && exists(filepath.Join(inside, "index.json")) {
		return inside
	}
	return ref
}

// ReadSources reads cloud-configs and decodes them. The result includes those with
// mistakes. The error is about files that cannot be read or hold no user data.
func ReadSources(paths []string, how config.Options) ([]simulate.Source, error) {
	documents, err := readUserData(paths, how)
	if err != nil {
		return nil, badInput(err)
	}
	var out []simulate.Source
	for _, d := range documents {
		out = append(out, simulate.Source{File: d.File, Data: d.Data})
	}
	return out, nil
}

// Simulate finds what cloud-configs would change on a node with an image. It makes
// the root image as for a disk, and keeps it for the next call.
func Simulate(ctx context.Context, o SimulateOptions) (result *simulate.Result, err error) {
	err = o.withRoot(ctx, func(files fs.FS, rec *recorder, root rootOf) error {
		err := rec.step("simulation of a first boot", func(progress.Step) (_ bool, err error) {
			result, err = simulate.Run(ctx, simulate.Options{Image: files, Configs: o.Configs, Arch: o.Arch, MachineID: o.MachineID})
			return false, err
		})
		if err != nil {
			return fmt.Errorf("simulating %s: %w", o.Image, err)
		}
		result.Image = simulate.Image{Reference: o.Image, Digest: root.digest, OS: prettyName(files), Version: root.version}
		return nil
	})
	return result, err
}

// ReadKubernetes is what an image has of Kubernetes.
func ReadKubernetes(ctx context.Context, o SimulateOptions) (image kubernetes.Image, err error) {
	err = o.withRoot(ctx, func(files fs.FS, _ *recorder, _ rootOf) (err error) {
		image, err = kubernetes.ReadImage(files)
		return err
	})
	return image, err
}

// rootOf says of which image a root is.
type rootOf struct {
	digest, version string
	made            *rootImage
}

// withRoot opens the root image of an image for use.
func (o SimulateOptions) withRoot(ctx context.Context, use func(fs.FS, *recorder, rootOf) error) (err error) {
	if err := MakeState(o.State); err != nil {
		return err
	}
	image, digest, err := openImage(ctx, o.Image, o.Arch)
	if err != nil {
		return err
	}
	rec := &recorder{to: o.Progress}
	root, err := rec.makeRoot(ctx, o.State, image)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Image, err)
	}
	return root.read(func(files fs.FS) error {
		return use(files, rec, rootOf{digest, root.image.Release["KAIROS_VERSION"], root})
	})
}

// prettyName is the PRETTY_NAME of an image's os-release, or empty.
func prettyName(files fs.FS) string {
	return osrelease.Of(func(name string) ([]byte, error) { return fs.ReadFile(files, name) })["PRETTY_NAME"]
}
