// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/site"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/userdata"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/recipes"
)

// ErrBadInput marks errors that the user can fix by changing the command or the files
// that it names.
var ErrBadInput = errors.New("bad input")

// badInput marks err. Its text stays as it is.
func badInput(err error) error { return &inputError{err} }

type inputError struct{ err error }

func (e *inputError) Error() string   { return e.err.Error() }
func (e *inputError) Unwrap() []error { return []error{e.err, ErrBadInput} }

// Folder is the output folder of a flavor, if no other is asked for: out/NAME, and out/NAME-ARCH
// for architectures other than amd64.
func Folder(flavor, arch string) string {
	if arch != "amd64" {
		flavor += "-" + arch
	}
	return filepath.Join("out", flavor)
}

// Options are the user's choices, and the means of a build.
type Options struct {
	Flavor       string   // name of a built-in flavor, or path of a user's own
	Dir          string   // output folder; default: see Folder
	Lock         string   // file with the exact packages; empty: those of the archive now
	CloudConfigs []string // files, written to the disk's /oem in this order
	// Configs says how CloudConfigs are checked. A file that only Configs.Compat
	// accepts is written with config.CompatLine, so that the node accepts it, too.
	Configs   config.Options
	Sizes     layout.Sizes // of the disk's partitions; zero means layout's defaults
	Artifacts []string     // default: DefaultArtifacts
	Compress  string       // of the disks: one of Compressions, or empty
	Model     string       // default generic
	Arch      string       // default amd64
	Base      string       // image to start from in place of the archive
	// Relative allows a Base of another distribution, which is like the flavor's: a warning
	// from FlavorOf.
	Relative string
	Version  string // semantic version, with or without a leading v
	// Maker is this program, for the evidence.
	Maker evidence.Builder
	// MountPoints are directories of the root besides those of the flavor.
	MountPoints []string
	// Packages, Overlays, Files and Run are added to the image, besides those of the flavor.
	Packages   []string
	Overlays   []string // folders
	Files      []site.File
	Run        []string            // commands
	Kubernetes Kubernetes          // nil: none
	State      string              // folder that outlives a build; see MakeState
	Families   map[string]Packages // by the names that flavors use
	Builder    Builder
	// Program returns a program of framework/payload, for an architecture.
	Program func(arch, name string) ([]byte, error)
	// Trust opens what signs the image, and what its nodes trust; nil: nothing signs it, and
	// they trust no other image. It is called before anything is built, and before Publish.
	Trust func(ctx context.Context) (Trust, error)
	// Signed says that Trust will have a Signer.
	Signed bool
	// Publish opens the registry that the image goes to; nil: it goes nowhere. It is
	// called before anything is built.
	Publish  func(ctx context.Context) (Publisher, error)
	Progress progress.Reporter
	Log      *slog.Logger
}

// recipe are the options of the recipe.
func (o Options) recipe() recipes.Options {
	r := recipes.Options{Arch: o.Arch, Model: o.Model, Version: o.Version, MountPoints: o.MountPoints, Packages: o.Packages, Run: o.Run}
	if o.Kubernetes != nil {
		r.Kubernetes = o.Kubernetes.Kubernetes()
	}
	return r
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Artifacts) == 0 {
		o.Artifacts = DefaultArtifacts()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkNames(o.Artifacts, Artifacts(), o.Compress); err != nil {
		return o, badInput(err)
	}
	if o.Publish != nil && !slices.Contains(o.Artifacts, imageName) {
		return o, badInput(errors.New("--push publishes the image, and --artifact leaves it out: name image there, too"))
	}
	if o.Signed && !slices.Contains(o.Artifacts, imageName) {
		return o, badInput(errors.New("--sign signs the image, and --artifact leaves it out: name image there, too"))
	}
	if o.Signed {
		o.Artifacts = ForSigning(o.Artifacts)
	}
	if slices.Contains(o.Artifacts, kindChecksum) && !slices.ContainsFunc(o.Artifacts, isDiskKind) {
		return o, badInput(fmt.Errorf("the artifact %s is the checksum of the disks: ask for one of them, too, such as %s", kindChecksum, kindRaw))
	}
	version, err := ParseVersion(o.Version)
	if err != nil {
		return o, badInput(err)
	}
	o.Version = version
	return o, nil
}

// semver is the grammar of semver.org 2.0.0, with an optional v.
var semver = regexp.MustCompile(`^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// ParseVersion checks a semantic version and returns it with a leading v.
func ParseVersion(s string) (string, error) {
	if !semver.MatchString(s) {
		return "", fmt.Errorf("version %q is not a semantic version such as v1.2.3 or v1.2.3-rc.1", s)
	}
	return "v" + strings.TrimPrefix(s, "v"), nil
}

// A cloudConfig is one of the user's files for the disk's /oem.
type cloudConfig struct {
	path string
	data []byte
	file config.File
}

// readConfigs reads and checks the cloud-configs. The error names every mistake in
// every file; log gets the warnings, such as keys that are not implemented yet.
func readConfigs(paths []string, how config.Options, log *slog.Logger) ([]cloudConfig, error) {
	documents, err := readUserData(paths, how)
	errs := []error{err}
	var configs []cloudConfig
	for _, d := range documents {
		errs = append(errs, checkConfig(d.File, log)...)
		if _, strict := config.Decode(d.Name, d.Data); how.Compat && strict.Failed() {
			d.Data = config.WithCompatLine(d.Data)
		}
		configs = append(configs, cloudConfig{d.Name, d.Data, d.File})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, badInput(err)
	}
	return configs, nil
}

// readUserData decodes files. The error names every file that holds no user data; the
// parts are those of the other files.
func readUserData(paths []string, how config.Options) (all []userdata.Part, _ error) {
	var errs []error
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("cloud-config: %w", err))
			continue
		}
		parts, err := userdata.Options{Configs: how}.Read(path, data)
		all, errs = append(all, parts...), append(errs, err)
	}
	var files []*config.File
	for i := range all {
		files = append(files, &all[i].File)
	}
	kubernetes.Judge(files, nil)
	return all, errors.Join(errs...)
}

// configInputs lists the cloud-configs with the digests of their data on the disk.
func configInputs(configs []cloudConfig) []Input {
	var list []Input
	for _, c := range configs {
		list = append(list, Input{Name: "cloud-config " + filepath.Base(c.path), Digest: digest.FromBytes(c.data).String()})
	}
	return list
}

func checkConfig(f config.File, log *slog.Logger) []error {
	if f.Note != "" {
		log.Warn(f.Name + ": " + f.Note)
	}
	var errs []error
	for _, problem := range f.Problems {
		if problem.Severity == config.Error {
			errs = append(errs, errors.New(problem.Detail()))
			continue
		}
		log.Warn(problem.Error())
	}
	return errs
}

// exists reports whether there is something at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
