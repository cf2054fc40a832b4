// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

const (
	// maxBootFile is the limit for a kernel, an initrd or a file of the boot loader, in
	// bytes.
	maxBootFile = maxKept
	// maxTextFile is the limit for the release file and the kernel arguments, in bytes.
	maxTextFile = 64 << 10
	// maxKept is the limit for everything that is held in memory, in bytes: all files below
	// /boot, and the boot loader. An upgrade takes less than 200 MiB, whatever the image.
	maxKept  = 128 << 20
	maxLinks = 10
)

// Paths in the form of entry paths.
func bootDir() string       { return "boot" }
func bootloaderDir() string { return layout.ImageBoot[1:] }

// leftOut tells whether path is left out of the root image.
func leftOut(path string) bool {
	return strings.HasPrefix(path, bootDir()+"/") || path == bootloaderDir() || strings.HasPrefix(path, bootloaderDir()+"/")
}

// keeps tells whether the content of path is held in memory.
func keeps(path string) bool {
	return leftOut(path) || path == layout.ImageCmdline[1:] || path == layout.ImageRelease[1:]
}

// kept holds the files that are part of Image.
type kept struct {
	files map[string]keptFile
	total int64
}

// A keptFile is a regular file, a symbolic link, or something else with size -1. The data
// of a regular file is nil if the file is too large.
type keptFile struct {
	data []byte
	size int64
	link string
}

func newKept() *kept { return &kept{files: map[string]keptFile{}} }

// take keeps the content of e for the names that keeps accepts. The reader that it returns
// gives the content once more.
func (k *kept) take(e erofs.Entry, r io.Reader, names []string) (io.Reader, error) {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !keeps(n) })
	if len(names) == 0 {
		return r, nil
	}
	f := keptFile{size: e.Size}
	switch e.Mode & erofs.ModeType {
	case erofs.ModeRegular:
		if e.Size <= limit(names[0]) && k.total+e.Size <= maxKept {
			f.data = make([]byte, e.Size)
			if _, err := io.ReadFull(r, f.data); err != nil {
				return nil, err
			}
			k.total += e.Size
			r = bytes.NewReader(f.data)
		}
	case erofs.ModeSymlink:
		f.link = e.Linkname
	default:
		f.size = -1 // a device in place of a file counts as missing
	}
	for _, n := range names {
		k.files[n] = f
	}
	return r, nil
}

func limit(path string) int64 {
	if leftOut(path) {
		return maxBootFile
	}
	return maxTextFile
}

// image returns an Image of everything that was kept.
func (k *kept) image(loader BootLoader) (*Image, error) {
	kernel, kernelErr := k.file(layout.ImageKernel, ErrNoKernel)
	initrd, initrdErr := k.file(layout.ImageInitrd, ErrNoInitrd)
	release, releaseErr := k.file(layout.ImageRelease, ErrNoRelease)
	bootloader, bootloaderErr := k.bootloader()
	cmdline, cmdlineErr := k.cmdline(loader)
	if err := errors.Join(kernelErr, initrdErr, releaseErr, bootloaderErr, cmdlineErr); err != nil {
		return nil, err
	}
	values, err := osrelease.Parse(release)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", layout.ImageRelease, err)
	}
	return &Image{Kernel: kernel, Initrd: initrd, Release: values, Cmdline: cmdline, Bootloader: bootloader}, nil
}

// file returns the content of the file at an absolute path. It follows symbolic links to
// other kept files.
func (k *kept) file(name string, missing error) ([]byte, error) {
	at := name
	for range maxLinks {
		f, ok := k.files[at[1:]]
		switch {
		case !ok && at != name:
			return nil, notOurs(missing, fmt.Sprintf("%s: it is a link to %s, which is not there or not below %s", name, at, path.Dir(name)))
		case !ok || f.size < 0:
			return nil, notOurs(missing, name)
		case f.link != "":
			at = follow(at, f.link)
		case f.data == nil:
			return nil, fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrTooLarge, at, f.size, limit(at[1:]))
		case len(f.data) == 0:
			return nil, notOurs(missing, name+": the file is empty")
		default:
			return f.data, nil
		}
	}
	return nil, notOurs(missing, name+": too many symbolic links")
}

func follow(at, link string) string {
	if path.IsAbs(link) {
		return path.Clean(link)
	}
	return path.Join(path.Dir(at), link)
}

func (k *kept) bootloader() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(k.files)) {
		rel, ok := strings.CutPrefix(name, bootloaderDir()+"/")
		if !ok {
			continue
		}
		data, err := k.file("/"+name, errors.New("the boot loader is not complete"))
		if err != nil {
			return nil, err
		}
		files[rel] = data
	}
	return files, nil
}

// cmdline returns the image's kernel arguments; an image may have none.
func (k *kept) cmdline(loader BootLoader) (string, error) {
	if f, ok := k.files[layout.ImageCmdline[1:]]; !ok || f.size == 0 && f.link == "" {
		return "", nil
	}
	data, err := k.file(layout.ImageCmdline, ErrBadCmdline)
	if err != nil {
		return "", err
	}
	return ParseCmdline(data, loader)
}

// ParseCmdline reads layout.ImageCmdline, an image's kernel arguments. Arguments
// that CheckCmdline refuses are ErrBadCmdline.
func ParseCmdline(data []byte, loader BootLoader) (string, error) {
	line := strings.TrimSpace(string(data))
	if err := CheckCmdline(line, loader); err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadCmdline, err)
	}
	return line, nil
}

// CheckCmdline refuses kernel arguments of an image that cannot pass through the boot
// loader or that are set at boot.
func CheckCmdline(line string, loader BootLoader) error {
	if err := loader.CheckCmdline(line); err != nil {
		return err
	}
	for arg := range strings.FieldsSeq(line) {
		if key, _, _ := strings.Cut(arg, "="); slices.Contains(layout.BootArgs(), key) {
			return fmt.Errorf("kernel arguments %q: %q is set at boot; remove it from %s", line, arg, layout.ImageCmdline)
		}
	}
	return nil
}
