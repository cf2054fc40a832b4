// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A Release is one release for one architecture: what a build needs, exactly.
type Release struct {
	Version release.Version
	Program File
	Images  *File // the publisher's container images, if they are wanted
	store   *store
}

// A File is a file of a release.
type File struct {
	Name   string
	URL    string
	SHA256 string   // 64 lower-case hex digits
	List   string   // URL of the checksums that it is from, or the file of a lock
	Size   int64    // bytes; zero: not known
	others []string // more addresses, for a file that is not at URL
}

// Files are the files of the release.
func (r *Release) Files() []File {
	if r.Images == nil {
		return []File{r.Program}
	}
	return []File{r.Program, *r.Images}
}

// store is where the files of releases are kept.
func (f *Finder) store() *store { return &store{f.Cache, f.client, most} }

// release names the files of a published release.
func (f *Finder) release(p *published, arch string) (*Release, error) {
	name, err := p.version.Binary(arch)
	if err != nil {
		return nil, err
	}
	r := &Release{Version: p.version, store: f.store()}
	if r.Program, err = p.file(name); err != nil || !f.Airgap {
		return r, err
	}
	names, err := p.version.Images(arch)
	if err != nil {
		return nil, err
	}
	images, err := p.file(names...)
	r.Images = &images
	return r, err
}

// file is the first of the names that the release has.
func (p *published) file(names ...string) (File, error) {
	for _, name := range names {
		if sum, ok := p.sums[name]; ok {
			return File{Name: name, URL: p.folder + "/" + escaped(name), SHA256: sum, List: p.list}, nil
		}
	}
	return File{}, fmt.Errorf("%s has no file %s: %s does not list it", p.version, strings.Join(names, " or "), fetch.Shown(p.list))
}
