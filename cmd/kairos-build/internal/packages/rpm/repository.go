// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/fetch"
)

// A repository is a repository whose list of packages is verified.
type repository struct {
	spec   flavors.Repository
	url    string // without a slash at its end
	index  packages.Index
	repomd *repomd
	keys   archive.Keys
	byID   map[string]*entry
	names  map[string][]*entry
	has    map[string]bool // what packages provide: names and files
}

// open fetches and verifies the repositories of a flavor, all at once.
func (p *Packages) open(ctx context.Context, f *flavors.Flavor, arch string) ([]*repository, error) {
	keyring, err := f.Keyring()
	if err != nil {
		return nil, err
	}
	places, err := p.places(f, arch)
	if err != nil {
		return nil, err
	}
	spec := f.Base.Archive
	all := make([]*repository, len(spec.Repositories))
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range spec.Repositories {
		g.Go(func() error {
			keys, err := archive.ReadKeys(keyring, spec.KeysOf(s))
			if err != nil {
				return fmt.Errorf("repository %s: %w", s.ID, err)
			}
			all[i] = &repository{spec: s, url: places[s.ID], keys: keys}
			return all[i].read(ctx, p, arch)
		})
	}
	return all, g.Wait()
}

// places are the addresses of a flavor's repositories, by their names: those of --mirror,
// of the environment, and of the flavor.
func (p *Packages) places(f *flavors.Flavor, arch string) (map[string]string, error) {
	chosen := map[string]string{}
	for _, r := range f.Base.Archive.Repositories {
		chosen[r.ID] = r.URL
	}
	for _, value := range slices.Concat(p.Env, p.Mirrors) {
		id, address, _ := strings.Cut(value, "=")
		if _, ok := chosen[id]; !ok {
			return nil, fmt.Errorf("mirror %q: the flavor %s has no repository %s=, only %s", fetch.Shown(value), f.Name, id, strings.Join(f.Base.Archive.Parts(), ", "))
		}
		chosen[id] = address
	}
	for id, address := range chosen {
		chosen[id] = strings.TrimRight(strings.ReplaceAll(address, flavors.ArchMark, flavors.RPMArch(arch)), "/")
	}
	return chosen, nil
}

// read fetches and verifies repomd.xml and what a solver needs of it.
func (r *repository) read(ctx context.Context, p *Packages, arch string) error {
	address, err := archive.Address(r.url, "repodata/repomd.xml")
	if err != nil {
		return err
	}
	if r.spec.Unsigned() && strings.HasPrefix(r.url, "http:") {
		return fmt.Errorf("%s: the metadata of the repository %s is unsigned, so it must come over https: name another mirror", fetch.Shown(r.url), r.spec.ID)
	}
	text, err := p.pool.Fresh(ctx, address)
	if err != nil {
		return err
	}
	if err := r.verify(ctx, p, address, text); err != nil {
		return err
	}
	if r.repomd, err = parseRepomd(text); err != nil {
		return archive.Changed(address, "it is no repomd.xml: "+err.Error())
	}
	r.index.Date = r.repomd.date()
	if err := r.fetch(ctx, p.pool); err != nil {
		return err
	}
	return r.list(arch)
}

// verify checks the signature of repomd.xml, unless the flavor says that there is none.
func (r *repository) verify(ctx context.Context, p *Packages, address string, text []byte) error {
	sum := sha256.Sum256(text)
	r.index = packages.Index{Archive: r.spec.ID, Suite: r.spec.ID, URL: fetch.Shown(address), SHA256: hex.EncodeToString(sum[:])}
	if r.spec.Unsigned() {
		key := r.keys.List()[0]
		r.index.Key, r.index.Fingerprint = "unsigned; its packages by "+keyName(key), fmt.Sprintf("%X", key.PrimaryKey.Fingerprint)
		return nil
	}
	signature, err := p.pool.Fresh(ctx, address+".asc")
	if errors.Is(err, archive.ErrNotFound) {
		return archive.Unsigned(address)
	}
	if err != nil {
		return err
	}
	signer, err := r.keys.Detached(address, text, signature, p.Now())
	if note := signer.Note(p.Now()); note != "" {
		p.Log.Warn(r.spec.ID + ": " + note)
	}
	r.index.Key, r.index.Fingerprint = signer.Name, signer.Fingerprint
	return err
}

// fetch puts the files of the metadata into the cache. A mirror that moves on in between has
// them no more, or with other contents.
func (r *repository) fetch(ctx context.Context, pool *archive.Pool) error {
	for _, kind := range kept() {
		d := r.repomd.of(kind)
		if d == nil {
			continue
		}
		address, err := archive.Address(r.url, d.Location.Href)
		if err != nil {
			return err
		}
		d.path, err = pool.File(ctx, archive.File{URL: address, SHA256: d.Checksum.Value, Size: d.Size, Voucher: r.voucher()})
		if errors.Is(err, archive.ErrNotFound) {
			return archive.Changed(address, "repomd.xml names it, and the mirror has no such file")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *repository) voucher() string {
	if r.spec.Unsigned() {
		return "repomd.xml"
	}
	return "the signed repomd.xml"
}

// list reads the packages for an architecture.
func (r *repository) list(arch string) error {
	r.byID, r.names, r.has = map[string]*entry{}, map[string][]*entry{}, map[string]bool{}
	primary := r.repomd.of("primary")
	err := readPrimary(primary.path, primary.Location.Href, func(e *entry) {
		if e.Arch != flavors.RPMArch(arch) && e.Arch != "noarch" {
			return
		}
		e.repository = r
		r.byID[e.id()] = e
		r.names[e.Name] = append(r.names[e.Name], e)
		for _, provided := range e.Format.Provides {
			r.has[provided.Name] = true
		}
		for _, file := range e.Format.Files {
			r.has[file] = true
		}
		e.Format.Provides, e.Format.Files = nil, nil
	})
	if err != nil {
		return archive.Changed(r.url+"/"+primary.Location.Href, "it is no list of packages: "+err.Error())
	}
	return nil
}

// files are the repository as a solver reads it, below a folder of its name.
func (r *repository) files() []inputs.File {
	dir := path.Join(r.spec.ID, "repodata")
	all := []inputs.File{{Path: path.Join(dir, "repomd.xml"), Mode: 0o644, Data: r.repomd.reduced()}}
	for _, kind := range kept() {
		if d := r.repomd.of(kind); d != nil {
			all = append(all, inputs.File{Path: path.Join(dir, d.name()), Mode: 0o644, From: d.path})
		}
	}
	return all
}
