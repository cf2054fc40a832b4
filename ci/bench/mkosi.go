// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// suite is the Debian that both sides build, and that mkosi comes from. The mkosi of
// Debian 12 is too old to build Debian 13.
const suite = "trixie"

// mkosiPackages are what mkosi needs to make a bootable disk of a Debian.
const mkosiPackages = "mkosi,ca-certificates,debian-archive-keyring,apt,dpkg,cpio,zstd,kmod,udev,python3-pefile," +
	"systemd-repart,systemd-ukify,systemd-boot,dosfstools,e2fsprogs,mtools"

// mkosi is the rival: a Debian 13 tree with mkosi in it, and its config.
type mkosi struct {
	b      *bench
	root   string
	config string            // mkosi.conf
	files  map[string]string // what lies beside it, by path: the archives, as the package manager has them
}

const (
	// aptSources is where mkosi looks for the archives of apt, below sandbox or toolsSandbox.
	aptSources   = "/etc/apt/sources.list.d/mkosi.sources"
	sandbox      = "mkosi.sandbox"
	toolsSandbox = "mkosi.tools.sandbox"
)

// A debianTree is a Debian with mkosi in it.
type debianTree struct {
	suite    string
	with     string // what the name of its folder ends with; empty: only what mkosi needs
	packages string
}

// stable and unstable are the trees with the mkosi of Debian 13 and with the newest one.
var (
	stable   = debianTree{suite: suite, packages: mkosiPackages}
	unstable = debianTree{suite: "sid", packages: mkosiPackages}
)

// newMkosi prepares the rival that builds what is measured.
func (b *bench) newMkosi(ctx context.Context, tree debianTree) (*mkosi, error) {
	choice, err := b.choice()
	if err != nil {
		return nil, err
	}
	root, err := b.mkosiTree(ctx, tree)
	if err != nil {
		return nil, err
	}
	return &mkosi{b: b, root: root, config: mkosiConfig(choice, b.mirrors), files: map[string]string{sandbox + aptSources: b.mirrors.sources()}}, nil
}

// mkosiTree prepares a tree with mkosi, which stays in the work folder. It is not timed.
func (b *bench) mkosiTree(ctx context.Context, t debianTree) (root string, err error) {
	root = filepath.Join(b.work, "mkosi-"+t.with+t.suite)
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		if err := b.bootstrap(ctx, root, t); err != nil {
			return "", err
		}
	}
	if err := giveNames(root); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "chroot", root, "dpkg-query", "-W", "-f", "${Version}", "mkosi").Output()
	if err != nil {
		return "", fmt.Errorf("asking for mkosi's version: %w", err)
	}
	b.rival("mkosi of "+t.suite, string(out)+", from Debian's archive")
	return root, nil
}

// bootstrap makes a tree with mkosi. It renames the tree into place when it is complete,
// so a partial tree is never used.
func (b *bench) bootstrap(ctx context.Context, root string, t debianTree) error {
	b.say("   making a tree of Debian %s for mkosi in %s (once)", t.suite, root)
	dir, err := os.MkdirTemp(b.temp, "bootstrap-")
	if err != nil {
		return err
	}
	tree := filepath.Join(dir, "tree")
	// Sid's indexes end after a week, and a mirror may stand still for longer.
	out, err := exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=apt", "--aptopt=Acquire::Check-Valid-Until false", "--include="+t.packages, t.suite, tree, b.mirrors.main).CombinedOutput()
	if err != nil {
		return fmt.Errorf("making a tree of Debian %s for mkosi: %w: %s", t.suite, err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return os.Rename(tree, root)
}

// choice is the image that is measured.
func (b *bench) choice() (recipes.Choice, error) {
	flavor, err := flavors.Load(b.flavor)
	if err != nil {
		return recipes.Choice{}, err
	}
	return recipes.Choose(flavor, recipes.Options{Arch: arch})
}

// mkosiConfig returns a mkosi.conf for the disk that kairos-build makes, as far as mkosi
// can make it.
func mkosiConfig(c recipes.Choice, m mirrors) string {
	return mkosiConf(append([]string{"systemd-boot", "systemd-boot-efi"}, installed(c)...),
		[]string{"Distribution=debian", "Release=" + suite, "Mirror=" + m.main},
		[]string{"Bootable=yes", "Bootloader=systemd-boot", "KernelCommandLine=" + c.Cmdline()})
}

// installed are the packages of a disk besides those of the base and the boot loader.
func installed(c recipes.Choice) (names []string) {
	for _, list := range c.PackageLists() {
		if list.Input == recipes.InputPackages || list.Input == recipes.InputKernel {
			names = append(names, list.Names...)
		}
	}
	return names
}

// mkosiConf returns a mkosi.conf for a disk with packages, in the folders of stage.
func mkosiConf(packages, distribution, content []string) string {
	return strings.Join(slices.Concat(
		[]string{"[Distribution]"}, distribution,
		[]string{"", "[Output]", "Format=disk", "OutputDirectory=" + stage + "/out", "",
			"[Build]", "BuildSources=", "PackageCacheDirectory=" + stage + "/cache", "WorkspaceDirectory=" + stage + "/space", "",
			"[Content]"}, content,
		[]string{"Packages=" + strings.Join(packages, "\n         "), ""}), "\n")
}

// stage is the path at which mkosi sees the folder of one build.
const stage = "/srv"

// build makes one disk from nothing. The apt sources name only the indices that the
// flavor reads too: by default mkosi also fetches those of sources and debug symbols.
func (m *mkosi) build(ctx context.Context) (j job, err error) {
	dir, err := os.MkdirTemp(m.b.temp, "mkosi-")
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, m.b.discard(dir)) }()
	if err := m.furnish(dir); err != nil {
		return j, err
	}
	log, err := os.Create(filepath.Join(m.b.temp, "mkosi.log"))
	if err != nil {
		return j, err
	}
	r := room{root: m.root, binds: [][2]string{{dir, stage}}, log: log}
	j, err = m.b.timed(ctx, m.b.enter(ctx, r, "mkosi", "--directory", stage, "build"))
	if err := errors.Join(withTail(err, "mkosi", log.Name()), log.Close()); err != nil {
		return j, err
	}
	return j, isDisk(filepath.Join(dir, "out", "image.raw"))
}

func (m *mkosi) furnish(dir string) error {
	all := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "mkosi.conf"), []byte(m.config), 0o644))
	for _, d := range []string{"out", "cache", "space"} {
		all = errors.Join(all, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	for name, text := range m.files {
		path := filepath.Join(dir, name)
		all = errors.Join(all, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
	}
	return all
}

// isDisk guards against a build that did too little.
func isDisk(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("mkosi's disk: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < 200<<20 {
		return fmt.Errorf("mkosi's disk has %d bytes, which is no system", info.Size())
	}
	return nil
}
