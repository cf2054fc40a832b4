// SPDX-License-Identifier: Apache-2.0

// Package pack writes the initrd of an image: our /init and the kernel modules
// that it needs to reach the disk, as one reproducible archive. It runs no
// program and needs no privileges. Equal input gives equal bytes.
//
// In the archive:
//
//	init                        the program
//	dev/console                 the program's standard output
//	usr/sbin/modprobe, sbin/…   links to init: the kernel calls them for modules
//	lib/modules/VERSION/…       the modules, uncompressed, with modules.dep,
//	                            modules.alias, modules.softdep and modules.load
//
// Modules are packed uncompressed: so the kernel loads them without
// CONFIG_MODULE_DECOMPRESS, and the archive is compressed as a whole.
package pack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/kairos-build/kairos-build/framework/internal/kmod"
	"github.com/kairos-build/kairos-build/framework/ondisk/cpio"
)

// ErrRequired is wrapped when modules are missing that every node needs to boot.
var ErrRequired = errors.New("the kernel lacks modules that every node needs")

// A Compression is a way to compress the archive. Zstd needs CONFIG_RD_ZSTD in the
// kernel.
type Compression string

// The compressions.
const (
	Zstd  Compression = "zstd"
	Plain Compression = "none"
)

// Options is what goes into an initrd.
type Options struct {
	// Modules is the directory of one kernel's modules, such as
	// usr/lib/modules/6.12.1-amd64, with the files that depmod writes. Its
	// name is the kernel's release.
	Modules string
	// Init is the program /init: a static executable.
	Init []byte
	// List of modules; nil means DefaultList.
	List *List
	// Compression; the default is Zstd.
	Compression Compression
}

// Result says what went into an initrd.
type Result struct {
	Kernel  string   // release
	Modules []string // names of the modules packed, in loading order
	// Missing are the names on the list that this kernel does not have, sorted.
	// A cloud kernel lacks many.
	Missing []string
	Size    int64 // bytes written
	RawSize int64 // bytes of the archive before compression
}

// Write writes an initrd to w.
func Write(w io.Writer, o Options) (Result, error) {
	list, err := o.list()
	if err != nil {
		return Result{}, err
	}
	release := filepath.Base(o.Modules)
	index, err := kmod.Read(os.DirFS(o.Modules), ".")
	if err != nil {
		return Result{}, fmt.Errorf("kernel %s: %w", release, err)
	}
	chosen, missing := choose(index, list)
	if err := checkRequired(list, missing); err != nil {
		return Result{}, fmt.Errorf("kernel %s: %w", release, err)
	}
	result := Result{Kernel: release, Missing: missing}
	for _, m := range chosen {
		result.Modules = append(result.Modules, m.Name)
	}
	entries, err := o.entries(release, index, chosen, list)
	if err != nil {
		return Result{}, fmt.Errorf("kernel %s: %w", release, err)
	}
	result.Size, result.RawSize, err = o.write(w, entries)
	return result, err
}

func (o Options) list() (List, error) {
	if o.List != nil {
		return *o.List, nil
	}
	return DefaultList()
}

// entries returns everything in the archive, in no special order.
func (o Options) entries(release string, index *kmod.Index, chosen []kmod.Module, list List) ([]cpio.Entry, error) {
	if len(o.Init) == 0 {
		return nil, errors.New("the initrd has no program for /init")
	}
	entries := []cpio.Entry{
		cpio.File("init", 0o755, o.Init),
		{Path: "dev/console", Mode: cpio.TypeChar | 0o600, Major: 5, Minor: 1},
		cpio.Link("sbin/modprobe", "/init"),
		cpio.Link("usr/sbin/modprobe", "/init"),
	}
	dir := strings.TrimPrefix(kmod.Dir(release), "/")
	for _, m := range chosen {
		data, err := o.module(m)
		if err != nil {
			return nil, err
		}
		entries = append(entries, cpio.File(path.Join(dir, uncompressed(m.Path)), 0o644, data))
	}
	files := indexFiles(index, chosen)
	files[kmod.FileLoad] = loadFile(list, index)
	for name, data := range files {
		entries = append(entries, cpio.File(path.Join(dir, name), 0o644, data))
	}
	return entries, nil
}

// module reads one module. It follows a symbolic link, but not out of the modules
// directory: the modules may come from an untrusted image.
func (o Options) module(m kmod.Module) (data []byte, err error) {
	root, err := os.OpenRoot(o.Modules)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	data, err = root.ReadFile(m.Path)
	if err != nil {
		return nil, fmt.Errorf("reading module %s (run depmod if the index is not of these modules): %w", m.Name, err)
	}
	return decompress(m.Path, data)
}

// loadFile lists the modules to load on every machine, without built-in ones.
func loadFile(l List, index *kmod.Index) []byte {
	var b []byte
	for _, name := range l.Load {
		if m, ok := index.Module(name); ok {
			b = append(b, m.Name+"\n"...)
		}
	}
	return b
}

func (o Options) write(w io.Writer, entries []cpio.Entry) (size, raw int64, err error) {
	out := &counter{w: w}
	switch o.Compression {
	case Plain:
		err := write(out, entries)
		return out.n, out.n, err
	case Zstd, "":
		raw, err := writeZstd(out, entries)
		return out.n, raw, err
	}
	return 0, 0, fmt.Errorf("unknown compression %q of an initrd: want %s or %s", o.Compression, Zstd, Plain)
}

// writeZstd uses one goroutine, so that the bytes do not depend on the number
// of processors.
func writeZstd(w io.Writer, entries []cpio.Entry) (raw int64, err error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return 0, err
	}
	in := &counter{w: z}
	if err := write(in, entries); err != nil {
		return in.n, errors.Join(err, z.Close())
	}
	return in.n, z.Close()
}

// A counter counts what is written to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func write(w io.Writer, entries []cpio.Entry) error {
	archive, err := cpio.New(entries)
	if err != nil {
		return err
	}
	if _, err := archive.WriteTo(w); err != nil {
		return fmt.Errorf("writing the initrd: %w", err)
	}
	return nil
}
