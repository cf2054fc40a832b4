// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"fmt"
	"os"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// Locked is a release as a lock keeps it, for one architecture.
type Locked struct {
	Wanted  string // what was asked for when it was locked: a channel, a version or a release
	Version release.Version
	Program File
	Images  *File // nil: locked without them
}

// Locked is the locked release as one to build with. It makes no request. The error wraps
// ErrUnfit if the release is not what the user asks for now. file names the lock.
func (f *Finder) Locked(l Locked, file string) (*Release, error) {
	if !f.wanted.means(l) {
		return nil, fmt.Errorf("%w: %s has %s %s (asked for as %s), and --%s %s is asked for", ErrUnfit, file, f.Distribution, l.Version, l.Wanted, f.Distribution, f.wanted.text)
	}
	if f.Airgap && l.Images == nil {
		return nil, fmt.Errorf("%w: %s has %s %s without its images, and --airgap is asked for", ErrUnfit, file, f.Distribution, l.Version)
	}
	r := &Release{Version: l.Version, Program: f.moved(l.Version, l.Program, file), store: f.store()}
	if f.Airgap {
		images := f.moved(l.Version, *l.Images, file)
		r.Images = &images
	}
	return r, nil
}

// means reports whether w can mean the locked release. A channel of the publisher's,
// such as stable, means what it meant when the lock was made.
func (w wanted) means(l Locked) bool {
	switch {
	case w.release != release.Version{}:
		return w.release == l.Version
	case w.kubernetes != "":
		return w.kubernetes == l.Version.Kubernetes()
	}
	return w.text == l.Version.Channel() || w.text == l.Wanted
}

// moved is a locked file as the mirror has it, if there is a mirror.
func (f *Finder) moved(v release.Version, file File, lock string) File {
	file.List = lock
	if !f.from.mirror {
		return file
	}
	var addresses []string
	for _, folder := range f.from.folders(v) {
		addresses = append(addresses, folder+"/"+escaped(file.Name))
	}
	file.URL, file.others = addresses[0], addresses[1:]
	return file
}

// Wanted is what is asked for, as a lock keeps it.
func (f *Finder) Wanted() string { return f.wanted.text }

// Flags are the flags of the command line that ask for the same.
func (f *Finder) Flags() string {
	flags := fmt.Sprintf("--%s %s", f.Distribution, f.wanted.text)
	if f.Airgap {
		flags += " --airgap"
	}
	return flags
}

// Measure fetches the files of a release, and notes their sizes. Files that were fetched
// before are not fetched again.
func (r *Release) Measure(ctx context.Context, report inputs.Report) error {
	files := []*File{&r.Program}
	if r.Images != nil {
		files = append(files, r.Images)
	}
	for _, f := range files {
		path, err := r.store.fetch(ctx, *f, report)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		f.Size = info.Size()
	}
	return nil
}
