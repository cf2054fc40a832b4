// SPDX-License-Identifier: Apache-2.0

// Package recipes says how a flavor is made: a recipe is a pure function from
// a flavor and options to a BuildKit graph. It uses no clock, no network and
// no daemon, so it is tested by marshalling it.
//
//	          base ──────────────┬── packages ──┐
//	(archive, configured)        │              │
//	                           tools ─┬─ kernel ┼─ initramfs ─┐
//	                                  └─ bootloader ───────────┼─ finalise ─┐
//	                              framework ───────────────────┘            ├─ image
//	                              release ──────────────────────────────────┘
//
// Each box is a layer of its own where the content model allows it: a new
// agent re-runs finalise only, a new kernel neither packages nor boot loader,
// a new version nothing at all.
package recipes

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client/llb"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// Options are what a user can choose about a flavor.
type Options struct {
	Arch    string    // GOARCH of the image; default amd64
	Model   string    // one of the flavor's models; default generic
	Version string    // version of the result, with a leading v
	Epoch   time.Time // no file of the image is newer
	Base    Base      // zero: the archive's base packages
	// MountPoints are directories that are made in the root, besides those of
	// the flavor: a node cannot make them.
	MountPoints []string
}

// A Base is the image that another image was made from.
type Base struct {
	Name   string // as a registry knows it; empty for a folder or a file
	Digest string // of its manifest, sha256:<hex>
}

// String is name@digest, or the digest alone.
func (b Base) String() string {
	if b.Name == "" {
		return b.Digest
	}
	return b.Name + "@" + b.Digest
}

// Inputs are the states that a recipe starts from. The factory fills them:
// each is identified by the digest of its content.
type Inputs struct {
	Base       llb.State // the root as bootstrapped: unpacked, not configured
	Packages   llb.State // /: packages of the flavor and the model, with their batches
	Tools      llb.State // /: packages for the tool root
	Kernel     llb.State // /: kernel packages
	Bootloader llb.State // /: boot loader packages
	Assemble   llb.State // /kairos-assemble
	Init       llb.State // /init
	Framework  llb.State // what is copied into the root as it is
	Release    llb.State // ReleaseFiles
}

// A Recipe is a flavor with every choice made.
type Recipe struct {
	Flavor *flavors.Flavor
	Options
	model flavors.Model
	boot  flavors.Boot
}

// Resolve checks the options against the flavor. The error names every choice
// that is not possible and what would be.
func Resolve(flavor *flavors.Flavor, o Options) (*Recipe, error) {
	if o.Arch == "" {
		o.Arch = "amd64"
	}
	if o.Model == "" {
		o.Model = "generic"
	}
	boot, ok := flavor.Boot[o.Arch]
	if !ok {
		return nil, fmt.Errorf("flavor %s is not made for architecture %q: it is for %s", flavor.Name, o.Arch, strings.Join(flavor.Arches(), ", "))
	}
	model, ok := flavor.Models[o.Model]
	if !ok {
		return nil, fmt.Errorf("flavor %s has no model %q: it has %s", flavor.Name, o.Model, strings.Join(slices.Sorted(maps.Keys(flavor.Models)), ", "))
	}
	r := &Recipe{Flavor: flavor, Options: o, model: model, boot: boot}
	var errs []error
	for _, dir := range r.mountPoints() {
		errs = append(errs, checkMountPoint(dir))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// Packages lists what is installed into the root, without duplicates.
func (r *Recipe) Packages() []string { return unique(r.Flavor.Packages, r.model.Packages) }

// Tools lists what the image is made with.
func (r *Recipe) Tools() []string { return unique(r.Flavor.Tools) }

// Kernel lists the kernel packages.
func (r *Recipe) Kernel() []string { return unique(r.model.Kernel) }

// Bootloader lists the packages that hold the signed boot loader.
func (r *Recipe) Bootloader() []string { return unique(r.boot.Packages) }

func unique(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// State is the graph of the image.
func (r *Recipe) State(in Inputs) (llb.State, error) {
	f, err := familyOf(r, in)
	if err != nil {
		return llb.State{}, err
	}
	base := f.base()
	packages := f.packages(base)
	tools := f.tools(base)
	kernel := f.kernel(tools)
	bootloader := f.bootloader(tools)
	initramfs := r.initramfs(tools, kernel, in)
	root := llb.Merge([]llb.State{packages, kernel, initramfs, bootloader, in.Framework}, r.named("join the layers")...)
	return llb.Merge([]llb.State{f.finalise(root), in.Release}, r.named("add the release")...), nil
}

// initramfs packs the initrd from the kernel's modules and our /init.
func (r *Recipe) initramfs(tools, kernel llb.State, in Inputs) llb.State {
	run := r.run(tools, in, "initramfs: pack modules and /init", "initramfs",
		"--root", "/kernel", "--init", "/init-program/init", "--out", "/out"+layout.ImageInitrd)
	run.AddMount("/kernel", kernel, llb.Readonly)
	run.AddMount("/init-program", in.Init, llb.Readonly)
	return run.AddMount("/out", llb.Scratch())
}

// A File is one file of the uppermost layer, mode 0644, or a link, or a
// directory, mode 0755.
type File struct {
	Path string // relative
	Data []byte
	Link string // target of a symbolic link
	Dir  bool
}

// ReleaseFiles are the uppermost layer: what is particular to this version, and
// the files that a build step cannot write because the engine mounts its own
// over them (/etc/hosts, /etc/resolv.conf). They are an input, not file
// operations of the graph: those give directories the time of the build.
func (r *Recipe) ReleaseFiles() []File {
	files := []File{
		{Path: strings.TrimPrefix(layout.ImageRelease, "/"), Data: []byte(r.Release())},
		{Path: strings.TrimPrefix(layout.ImageCmdline, "/"), Data: []byte(r.model.Cmdline + "\n")},
		{Path: "etc/hosts", Data: []byte(hosts)},
		{Path: "etc/resolv.conf", Link: resolver},
	}
	for _, dir := range r.mountPoints() {
		files = append(files, File{Path: dir[1:], Dir: true})
	}
	return files
}

// hosts is /etc/hosts as Debian's installer writes it; the node's own name is
// answered by nss-myhostname.
const hosts = `127.0.0.1	localhost
::1		localhost ip6-localhost ip6-loopback
ff02::1		ip6-allnodes
ff02::2		ip6-allrouters
`

// resolver is systemd-resolved's file, relative to /etc.
const resolver = "../run/systemd/resolve/stub-resolv.conf"

// run is a step that calls kairos-assemble, without network.
func (r *Recipe) run(root llb.State, in Inputs, name, verb string, args ...string) llb.ExecState {
	command := append([]string{"/kairos-build/kairos-assemble", verb, "--epoch", strconv.FormatInt(r.Epoch.Unix(), 10)}, args...)
	opts := []llb.RunOption{
		llb.Args(command),
		llb.Network(llb.NetModeNone),
		llb.AddEnv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		llb.AddEnv("SOURCE_DATE_EPOCH", strconv.FormatInt(r.Epoch.Unix(), 10)),
		llb.WithCustomName(name),
	}
	exec := root.Run(opts...)
	exec.AddMount("/kairos-build", in.Assemble, llb.Readonly)
	return exec
}

func (r *Recipe) named(name string) []llb.ConstraintsOpt {
	return []llb.ConstraintsOpt{llb.WithCustomName(name)}
}
