// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/sassoftware/go-rpmutils"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/recipes"
)

// A set is everything that an image takes from the repositories.
type set struct {
	family *Packages
	facts  packages.Facts
	lists  []list
	tools  []inputs.Source
	urls   map[string]string             // of the repositories, by their names
	keys   map[string]openpgp.EntityList // that may sign their packages
	lock   string                        // file; empty: from the repositories
}

func (s *set) packages() *packages.Set {
	return &packages.Set{Facts: s.facts, Inputs: s.inputs(), Over: s.over}
}

// inputs are the inputs for an empty root, and the toolbox.
func (s *set) inputs() []inputs.Source {
	all := slices.Clone(s.tools)
	for _, l := range s.lists {
		all = append(all, s.rpms(l))
	}
	return all
}

// over are the inputs for a root with rpm's database.
func (s *set) over(database []byte) ([]inputs.Source, error) {
	installed, err := s.family.Installed(database)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(s.tools)
	for _, l := range s.lists {
		switch l.input {
		case recipes.InputBase:
			continue
		case recipes.InputPackages:
			l.packages = missing(slices.Concat(s.lists[0].packages, l.packages), installed)
		case recipes.InputSitePackages:
			l.packages = missing(l.packages, installed)
		}
		all = append(all, s.rpms(l))
	}
	return all, nil
}

// missing lists the packages that are not installed, or only in an older version.
func missing(wanted []packages.Package, installed []packages.Installed) (all []packages.Package) {
	versions := map[string]string{}
	for _, i := range installed {
		versions[i.Name] = i.Version
	}
	for _, p := range wanted {
		if v, ok := versions[p.Name]; !ok || older(v, p.Version) {
			all = append(all, p)
		}
	}
	return all
}

// rpms is an input with the packages of a list.
func (s *set) rpms(l list) inputs.Source {
	write := func(ctx context.Context, w io.Writer, report inputs.Report) error {
		paths, err := s.fetch(ctx, l.packages, report)
		if err != nil {
			return err
		}
		files := make([]inputs.File, len(l.packages))
		for i, p := range l.packages {
			files[i] = inputs.File{Path: fileName(p), Mode: 0o644, From: paths[i]}
		}
		if len(files) == 0 { // nothing is missing in a base image
			files = append(files, inputs.File{Path: "none", Mode: 0o644})
		}
		return inputs.Tree(w, files, s.facts.Epoch)
	}
	return inputs.Source{Name: l.input, Key: identity(l.packages), Write: write}
}

// identity has the facts that decide the bytes of everything made from the packages.
func identity(all []packages.Package) []byte {
	var text bytes.Buffer
	for _, p := range all {
		fmt.Fprintln(&text, p.Archive, p.Path, p.SHA256)
	}
	return text.Bytes()
}

// fetch downloads packages at the same time, and checks of each the digest in the list and
// the signature in the package.
func (s *set) fetch(ctx context.Context, all []packages.Package, report inputs.Report) ([]string, error) {
	files := make([]*archive.Package, len(all))
	for i, p := range all {
		address, err := archive.Address(s.urls[p.Archive], p.Path)
		if err != nil {
			return nil, err
		}
		files[i] = &archive.Package{Name: p.Name, Version: p.Version, Arch: p.Arch, Filename: p.Path, Size: p.Size, SHA256: p.SHA256, URL: address}
		if s.lock != "" {
			files[i].Locked = &archive.Locked{File: s.lock}
		}
	}
	paths, err := s.family.pool.Fetch(ctx, files, func(p archive.Progress) { report(p.Done, p.Total) })
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, p := range all {
		errs = append(errs, checkSignature(paths[i], path.Base(p.Path), s.keys[p.Archive]))
	}
	return paths, errors.Join(errs...)
}

// checkSignature checks the signature in a package.
func checkSignature(file, name string, keys openpgp.EntityList) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, signatures, err := rpmutils.Verify(bufio.NewReaderSize(f, 1<<20), keys)
	if err != nil {
		return fmt.Errorf("package %s: its signature is not good: %w: want one by a key of the flavor (base.archive.keys)", name, err)
	}
	if !slices.ContainsFunc(signatures, func(s *rpmutils.Signature) bool { return s.Signer != nil }) {
		return fmt.Errorf("package %s: it is not signed: want a signature by a key of the flavor (base.archive.keys)", name)
	}
	return nil
}

func keyName(e *openpgp.Entity) string {
	if id := e.PrimaryIdentity(); id != nil {
		return id.Name
	}
	return e.PrimaryKey.KeyIdString()
}

// trust notes where the packages of each repository are, and who signs them.
func (s *set) trust(repositories []*repository) {
	s.urls, s.keys = map[string]string{}, map[string]openpgp.EntityList{}
	for _, r := range repositories {
		s.urls[r.spec.ID], s.keys[r.spec.ID] = r.url, r.keys.List()
	}
}

// older compares two versions, [EPOCH:]VERSION-RELEASE, as rpm does.
func older(a, b string) bool { return rpmutils.NEVRAcmp(nevraOf(a), nevraOf(b)) < 0 }

func nevraOf(evr string) rpmutils.NEVRA {
	epoch, rest, found := strings.Cut(evr, ":")
	if !found {
		epoch, rest = "0", evr
	}
	version, release, _ := strings.Cut(rest, "-")
	return rpmutils.NEVRA{Epoch: epoch, Version: version, Release: release}
}
