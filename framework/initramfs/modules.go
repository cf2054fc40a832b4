// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/kmod"
)

// loadModules loads the drivers of the present devices, so that disks begin to
// appear, and then the modules that every machine needs. A kernel with everything
// built in needs no modules.
func (b *boot) loadModules() error {
	index, dir, err := openIndex()
	if errors.Is(err, fs.ErrNotExist) {
		b.warn("the initrd has no modules for this kernel (%v): only what is built into the kernel works", err)
		return nil
	}
	if err != nil {
		return err
	}
	b.modules = &kmod.Loader{
		Index: index, Dir: dir, Log: b.log,
		Params: b.args.ModuleParams, Blacklist: b.args.Blacklist,
	}
	if _, err := b.loadDrivers(); err != nil {
		return err
	}
	b.loadFixed(dir)
	return nil
}

// openIndex reads the packer's index for the running kernel.
func openIndex() (*kmod.Index, string, error) {
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return nil, "", err
	}
	dir := kmod.Dir(unix.ByteSliceToString(uname.Release[:]))
	index, err := kmod.Read(os.DirFS("/"), strings.TrimPrefix(dir, "/"))
	return index, dir, err
}

// loadDrivers loads the modules that the present devices ask for, and says whether
// it loaded any.
func (b *boot) loadDrivers() (loaded bool, err error) {
	if b.modules == nil {
		return false, nil
	}
	aliases, err := kmod.Modaliases(b.sysfs)
	if err != nil {
		return false, err
	}
	before := b.modules.Loaded()
	for _, alias := range aliases {
		b.modules.ByModalias(alias)
	}
	b.state.ModulesLoaded = b.modules.Loaded()
	return b.state.ModulesLoaded > before, nil
}

// loadFixed loads the modules on the packer's list: file systems, device mapper,
// and the checksums that these ask for by name. A missing module is only a warning:
// its first use fails.
func (b *boot) loadFixed(dir string) {
	list, err := os.ReadFile(path.Join(dir, kmod.FileLoad))
	if err != nil {
		b.warn("the initrd has no list of modules to load: %v", err)
		return
	}
	for name := range strings.FieldsSeq(string(list)) {
		if err := b.modules.ByName(name); err != nil && !kmod.Refused(err) {
			b.warn("%v", err)
		}
	}
	b.state.ModulesLoaded = b.modules.Loaded()
}

// modprobe loads a module for the kernel, which calls it with "-q", "--" and a name
// or an alias. It returns the exit status. The kernel asks for many modules that do
// not exist, so it logs nothing.
func modprobe(args []string) int {
	index, dir, err := openIndex()
	if err != nil {
		return 1
	}
	loader := kmod.Loader{Index: index, Dir: dir}
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		if len(index.Resolve(arg)) == 0 || loader.ByName(arg) != nil {
			return 1
		}
	}
	return 0
}
