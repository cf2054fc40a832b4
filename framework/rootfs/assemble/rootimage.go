// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/kmod"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// chooseRoot writes layout.ImageRoot: the format of the root image, and why. EROFS where the
// kernel takes it, SquashFS where it does not or where the distribution forbids its module.
func chooseRoot(root string) error {
	format, why, err := rootFormat(root)
	if err != nil {
		return fmt.Errorf("choosing the format of the root image: %w", err)
	}
	fmt.Fprintf(os.Stdout, "root image: %s: %s\n", format, why)
	return os.WriteFile(filepath.Join(root, layout.ImageRoot), fmt.Appendf(nil, "%s\n%s\n", format, why), 0o644)
}

func rootFormat(root string) (format layout.FileSystem, why string, err error) {
	k, err := readKernel(root)
	if err != nil {
		return "", "", err
	}
	banned, err := blacklisted(root, "erofs")
	if err != nil {
		return "", "", err
	}
	without := k.lacks("erofs", "EROFS_FS")
	switch {
	case without == "" && banned == "":
		return layout.EROFS, "the kernel " + k.version + " has it", nil
	case without == "":
		without = banned + " forbids EROFS"
	}
	if lack := k.lacks("squashfs", "SQUASHFS", "SQUASHFS_ZLIB", "SQUASHFS_XATTR"); lack != "" {
		return "", "", fmt.Errorf("%s, and %s: choose a kernel with one of the two, or install the rest of its modules", without, lack)
	}
	return layout.SquashFS, without, nil
}

// A kernelFacts is what is known of the image's kernel.
type kernelFacts struct {
	version string
	config  []string // lines; nil: the kernel came without its config
	index   *kmod.Index
}

func readKernel(root string) (k kernelFacts, err error) {
	if k.version, err = kernelVersion(root); err != nil {
		return k, err
	}
	dir := filepath.Join(root, "usr/lib/modules", k.version)
	for _, path := range []string{filepath.Join(dir, "config"), filepath.Join(root, "boot", "config-"+k.version)} {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return k, err
		}
		if err == nil {
			k.config = strings.Split(string(data), "\n")
			break
		}
	}
	k.index, err = kmod.Read(os.DirFS(dir), ".")
	return k, err
}

// lacks says what is missing for a file system: an option of the kernel's config, or the
// module. It is empty if all is there.
func (k kernelFacts) lacks(module string, options ...string) string {
	for _, option := range options {
		if k.config != nil && !slices.Contains(k.config, "CONFIG_"+option+"=y") && !slices.Contains(k.config, "CONFIG_"+option+"=m") {
			return fmt.Sprintf("the config of the kernel %s has no CONFIG_%s", k.version, option)
		}
	}
	if _, ok := k.index.Module(module); !ok && !k.index.Builtin(module) {
		return fmt.Sprintf("the kernel %s is here without its module %s", k.version, module)
	}
	return ""
}

// blacklisted returns the file of modprobe.d(5) that forbids a module, or "". A file in /etc
// replaces one of the same name in /usr/lib; as a link to /dev/null it removes it.
func blacklisted(root, module string) (string, error) {
	files := map[string]string{}
	for _, dir := range []string{"usr/lib/modprobe.d", "usr/local/lib/modprobe.d", "run/modprobe.d", "etc/modprobe.d"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".conf") {
				files[e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := files[name]
		target, err := os.Readlink(filepath.Join(root, path))
		if err == nil && target == os.DevNull {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return "", err
		}
		if forbids(string(data), module) {
			return "/" + path, nil
		}
	}
	return "", nil
}

// forbids tells whether a file of modprobe.d(5) has `blacklist MODULE`, or installs nothing
// in its place.
func forbids(text, module string) bool {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || kmod.Name(words[1]) != module {
			continue
		}
		if words[0] == "blacklist" || words[0] == "install" && len(words) > 2 && slices.Contains([]string{"false", "true"}, filepath.Base(words[2])) {
			return true
		}
	}
	return false
}
