// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// Parts of a kernel, by the beginnings of their names. The version follows.
const (
	imagePart   = "linux-image-"
	modulesPart = "linux-modules-"
	extraPart   = "linux-modules-extra-"
)

// splitKernel makes the packages of a kernel as Ubuntu has them: the image, the modules in
// two packages, in /lib and compressed with zstd, and the meta packages.
func (p *plan) splitKernel(ctx context.Context, deb string, at time.Time) ([]pkg, error) {
	c, err := readControl(ctx, deb)
	if err != nil {
		return nil, err
	}
	release, ok := strings.CutPrefix(field(c.text, "Package"), imagePart)
	if !ok {
		return nil, fmt.Errorf("its name is %q, want %sVERSION", field(c.text, "Package"), imagePart)
	}
	k := kernel{plan: p, release: release, version: field(c.text, "Version"), arch: field(c.text, "Architecture"), at: at, parts: map[string]*tarball{}}
	for _, part := range []string{imagePart, modulesPart, extraPart} {
		if k.parts[part], err = newTarball(); err != nil {
			return nil, err
		}
	}
	if err := each(ctx, deb, "--fsys-tarfile", k.add); err != nil {
		return nil, err
	}
	return k.packages()
}

// A kernel is a kernel that is being split.
type kernel struct {
	plan                   *plan
	release, version, arch string
	at                     time.Time
	parts                  map[string]*tarball
}

// add adds a file to the part that it belongs to.
func (k *kernel) add(f file) error {
	if f.header.Typeflag == tar.TypeDir {
		return nil // the folders of the files are made
	}
	name := strings.TrimPrefix(path.Clean(f.header.Name), "usr/")
	f.header.Name = name
	part := modulesPart
	module, isModule := strings.CutPrefix(name, "lib/modules/"+k.release+"/kernel/")
	switch {
	case strings.HasPrefix(name, "boot/vmlinuz-"):
		part, f.header.Mode = imagePart, 0o600 // for root alone, as Ubuntu's
	case strings.HasPrefix(name, "share/doc/"):
		part, f.header.Name = imagePart, "usr/"+name
	case isModule && slices.ContainsFunc(k.plan.Kernel.Extra, func(dir string) bool { return strings.HasPrefix(module, dir) }):
		part = extraPart
	}
	if strings.HasSuffix(name, ".ko.xz") {
		var err error
		if f.data, err = recompress(f.data); err != nil {
			return err
		}
		f.header.Name = strings.TrimSuffix(name, ".xz") + ".zst"
	}
	return k.parts[part].add(f)
}

// recompress makes zstd of xz. libkmod reads a frame only if it begins with its size, as
// those of zstd(1) do.
func recompress(data []byte) ([]byte, error) {
	in, err := xz.NewReader(bytes.NewReader(data), xz.DefaultDictMax)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(plain, nil), w.Close()
}

// packages are the packages of the kernel and its meta packages.
func (k *kernel) packages() ([]pkg, error) {
	depends := map[string]string{
		imagePart:   "kmod, linux-base, " + modulesPart + k.release,
		modulesPart: "linux-base",
		extraPart:   imagePart + k.release + " | linux-image-unsigned-" + k.release,
	}
	var all []pkg
	for _, part := range slices.Sorted(maps.Keys(depends)) {
		made, err := k.pack(part+k.release, depends[part], k.parts[part])
		if err != nil {
			return nil, err
		}
		all = append(all, made)
	}
	for _, meta := range slices.Sorted(maps.Keys(k.plan.Kernel.Metas)) {
		empty, err := newTarball()
		if err != nil {
			return nil, err
		}
		made, err := k.pack(meta, k.metaDepends(meta), empty)
		if err != nil {
			return nil, err
		}
		all = append(all, made)
	}
	return all, nil
}

func (k *kernel) metaDepends(meta string) string {
	names := map[string]string{"image": imagePart + k.release, "extra": extraPart + k.release}
	var all []string
	for _, name := range k.plan.Kernel.Metas[meta] {
		if of, ok := names[name]; ok {
			name = of
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

func (k *kernel) pack(name, depends string, data *tarball) (pkg, error) {
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: kairos-build\nInstalled-Size: %d\nDepends: %s\nSection: kernel\nPriority: optional\nDescription: a part of a kernel of a stand-in\n",
		name, k.version, k.arch, data.size>>10, depends)
	deb, err := writeDeb(control{text: text}, data, k.at)
	return pkg{name, kernelInput, text, deb}, err
}
