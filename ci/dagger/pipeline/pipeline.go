// SPDX-License-Identifier: Apache-2.0

// Package pipeline has the pipelines of kairos-build and of its flavors as values: what a
// container does, one step after the other. It knows no engine: see [Client]. Each pipeline
// only calls make, or kairos-build; what these do is written nowhere else.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// A Client is what the pipelines need of an engine.
type Client interface {
	// From is a container of an image.
	From(image string) Container
	// Folder is a folder of this machine, without what matches the patterns.
	Folder(path string, exclude ...string) Folder
	// Secret is a text that is neither logged nor kept in a layer.
	Secret(name, text string) Secret
}

// A Container is a state of a container. Each method returns the next state; nothing runs
// before something is asked of one.
type Container interface {
	// Run runs a program.
	Run(args ...string) Container
	// RunPrivileged runs a program with all rights: mounts, namespaces, devices.
	RunPrivileged(args ...string) Container
	// TryPrivileged is RunPrivileged, and whatever the exit status is, the container goes on.
	TryPrivileged(args ...string) Container
	// In sets the working folder of what runs next.
	In(path string) Container
	// Put copies a folder into the container.
	Put(path string, folder Folder) Container
	// Write writes a file.
	Write(path, text string) Container
	// Keep mounts a folder that the engine keeps between runs, under a name. One container
	// at a time has it if exclusive is true.
	Keep(path, name string, exclusive bool) Container
	// Hide mounts a secret as a file.
	Hide(path string, secret Secret) Container
	// Folder is a folder of the container.
	Folder(path string) Folder
	// Status runs everything, and returns the exit status of the last program.
	Status(ctx context.Context) (int, error)
}

// A Folder is a folder in the engine.
type Folder interface {
	// Export writes the folder to a folder of this machine.
	Export(ctx context.Context, to string) error
}

// A Secret is a text that an engine hides.
type Secret any

// Options say what is to be done.
type Options struct {
	// Source is the clone of kairos-build. Default: the current folder.
	Source string
	// Output is where results go, on this machine. Default: out/dagger.
	Output string
	// Image is the image of the container; default [DefaultImage].
	Image string
	// Flavor is a built-in flavor, or the folder of one's own. Empty: kairos-build itself.
	Flavor string
	// Kubernetes is k3s or k0s and a version, such as k3s v1.34; empty means none.
	Kubernetes string
	// Target is the target of make that tests kairos-build; default test.
	Target string
	// Full tests a flavor with everything there is.
	Full bool
	// Version is that of the release.
	Version string
	// Push is where the images of a release go: REGISTRY/PREFIX.
	Push string
	// Channels are those that shall name the images of a release.
	Channels []string
	// Key is the text of the private key that signs, and Password is its password.
	Key, Password string
	// Registry is the text of a config.json of docker with the credentials of the registry.
	Registry string
}

// DefaultImage is what the pipelines start from.
const DefaultImage = "debian:13"

// A Pipeline is a verb.
type Pipeline func(context.Context, Client, Options) error

func (o Options) withDefaults() Options {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&o.Source, ".")
	set(&o.Output, filepath.Join("out", "dagger"))
	set(&o.Image, DefaultImage)
	set(&o.Target, "test")
	return o
}

// The folders of the container.
const (
	sourcePath  = "/src"
	flavorPath  = "/flavor"
	outputPath  = "/output"
	programPath = sourcePath + "/bin/kairos-build"
	statePath   = "/var/lib/kairos-build" // of the build engine
	keyPath     = "/run/kairos-build/release.key"
)

// notSource is what a clone has besides its source.
func notSource() []string { return []string{"bin", "out", ".tools", "framework/rootfs/payload/bin/*/"} }

// source is a Debian with what make needs, and the source. Its first steps stay the same
// until the image or ci/setup changes.
func source(c Client, o Options, exclude ...string) Container {
	return c.From(o.Image).
		Run("apt-get", "update").
		Run("apt-get", "install", "--yes", "--no-install-recommends", "make").
		Put(path.Join(sourcePath, "ci/setup"), c.Folder(filepath.Join(o.Source, "ci", "setup"))).
		In(sourcePath).
		Run("ci/setup/install", "build", "run").
		Keep("/root/go/pkg/mod", "kairos-build-modules", false).
		Keep("/root/.cache", "kairos-build-cache", false).
		Put(sourcePath, c.Folder(o.Source, append(notSource(), exclude...)...))
}

// program is a container in which kairos-build was compiled.
func program(c Client, o Options) Container { return source(c, o, ".git").Run("make", "build") }

// Build compiles kairos-build, or builds a flavor.
func Build(ctx context.Context, c Client, o Options) error {
	o = o.withDefaults()
	if o.Flavor == "" {
		return program(c, o).Folder(path.Dir(programPath)).Export(ctx, filepath.Join(o.Output, "bin"))
	}
	built, err := flavor(c, o)
	if err != nil {
		return err
	}
	return built.Folder(outputPath).Export(ctx, o.Output)
}

// flavor is a container in which a flavor was built. The state of the build engine stays in
// a volume, which one container at a time has.
func flavor(c Client, o Options) (Container, error) {
	kubernetes, err := o.kubernetes()
	if err != nil {
		return nil, err
	}
	ref, box := o.flavor(c, program(c, o).Keep(statePath, "kairos-build-engine", true))
	args := append([]string{programPath, "flavor", ref, "--output", outputPath, "--progress", "plain"}, kubernetes...)
	return box.RunPrivileged(args...), nil
}

// flavor puts a flavor of one's own into a container, and returns its name there.
func (o Options) flavor(c Client, box Container) (string, Container) {
	if !strings.ContainsAny(o.Flavor, `/\.`) {
		return o.Flavor, box
	}
	return flavorPath, box.Put(flavorPath, c.Folder(o.Flavor, ".git", "out"))
}

// kubernetes are the flags for Kubernetes.
func (o Options) kubernetes() ([]string, error) {
	if o.Kubernetes == "" || o.Kubernetes == "none" {
		return nil, nil
	}
	kind, version, _ := strings.Cut(o.Kubernetes, " ")
	if kind != "k3s" && kind != "k0s" || version == "" {
		return nil, fmt.Errorf("--kubernetes %q: want none, or a distribution and a version such as \"k3s v1.34\"", o.Kubernetes)
	}
	return []string{"--" + kind, version}, nil
}

// ErrNotPassed means that the tests ran, and that some did not pass.
var ErrNotPassed = errors.New("the tests did not pass")

// Test runs a target of make, or boots and checks a flavor. The results are written in both
// cases.
func Test(ctx context.Context, c Client, o Options) error {
	o = o.withDefaults()
	if o.Flavor == "" {
		done := source(c, o, ".git").Keep(statePath, "kairos-build-engine", true).TryPrivileged("make", o.Target)
		return judge(ctx, done, "", o.Output)
	}
	built, err := flavor(c, o)
	if err != nil {
		return err
	}
	args := []string{programPath, "test", outputPath}
	if !o.Full {
		args = append(args, "--short")
	}
	return judge(ctx, built.TryPrivileged(args...), outputPath, o.Output)
}

// judge writes the results, if there is a folder with some, and then says whether the last
// program passed.
func judge(ctx context.Context, box Container, results, to string) error {
	status, err := box.Status(ctx)
	if err != nil {
		return err
	}
	if results != "" {
		if err := box.Folder(results).Export(ctx, to); err != nil {
			return err
		}
	}
	if status != 0 {
		return fmt.Errorf("%w: exit status %d", ErrNotPassed, status)
	}
	return nil
}

// Release makes the files of a release of kairos-build, or builds, tests, signs and publishes
// a flavor.
func Release(ctx context.Context, c Client, o Options) error {
	o = o.withDefaults()
	if o.Version == "" {
		return errors.New("which version? Give --version v1.2.3")
	}
	if o.Flavor == "" {
		files := source(c, o).Run("make", "release", "VERSION="+o.Version, "RELEASE="+outputPath)
		return files.Folder(outputPath).Export(ctx, filepath.Join(o.Output, o.Version))
	}
	if o.Push == "" || o.Key == "" {
		return errors.New("a flavor is released with --push REGISTRY/PREFIX and --key FILE")
	}
	box, args, err := publisher(c, o)
	if err != nil {
		return err
	}
	return judge(ctx, box.TryPrivileged(args...), outputPath, o.Output)
}

// matrixPath is the matrix of a release, with one image.
const matrixPath = "/release/matrix.yaml"

// publisher is a container that is ready to release a flavor, and the command.
func publisher(c Client, o Options) (Container, []string, error) {
	if _, err := o.kubernetes(); err != nil {
		return nil, nil, err
	}
	ref, box := o.flavor(c, program(c, o).Keep(statePath, "kairos-build-engine", true))
	kubernetes := o.Kubernetes
	if kubernetes == "" {
		kubernetes = "none"
	}
	box = box.Write(matrixPath, fmt.Sprintf("flavors: [%q]\narchitectures: [amd64]\nmodels: [generic]\nkubernetes: [%q]\n", ref, kubernetes)).
		Hide(keyPath, c.Secret("key", o.Key))
	args := []string{programPath, "release", matrixPath, "--output", outputPath, "--version", o.Version, "--push", o.Push, "--sign", keyPath}
	if o.Password != "" {
		box = box.Hide(keyPath+".password", c.Secret("password", o.Password))
		args = append(args, "--password-file", keyPath+".password")
	}
	if o.Registry != "" {
		box = box.Hide("/root/.docker/config.json", c.Secret("registry", o.Registry))
	}
	if !o.Full {
		args = append(args, "--test", "short")
	}
	if len(o.Channels) == 0 {
		return box, append(args, "--until", "push"), nil
	}
	return box, append(args, "--channel", strings.Join(o.Channels, ",")), nil
}
