// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/recipes"
)

// Locked makes the set that a lock holds. It makes no request: packages are found by their
// paths and checked by their digests and signatures, and no list of them is read.
func (p *Packages) Locked(c recipes.Choice, facts packages.Facts, file string) (*packages.Set, error) {
	tools, err := p.Toolbox.Locked(c.Arch, facts, file)
	if err != nil {
		return nil, err
	}
	s := &set{family: p, facts: facts, tools: tools.Inputs, lock: file, keys: map[string]openpgp.EntityList{}}
	if s.urls, err = p.places(c.Flavor, c.Arch); err != nil {
		return nil, err
	}
	keyring, err := c.Flavor.Keyring()
	if err != nil {
		return nil, err
	}
	spec := c.Flavor.Base.Archive
	for _, r := range spec.Repositories {
		keys, err := archive.ReadKeys(keyring, spec.KeysOf(r))
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.ID, err)
		}
		s.keys[r.ID] = keys.List()
	}
	for _, l := range facts.Lists {
		if l.Input != recipes.InputToolbox {
			s.lists = append(s.lists, list{l.Input, l.Packages})
		}
	}
	return s.packages(), s.known(file)
}

// known checks that each package of a lock is from a repository of the flavor.
func (s *set) known(file string) error {
	for _, l := range s.lists {
		for _, p := range l.packages {
			if s.urls[p.Archive] == "" {
				return fmt.Errorf("%s: package %s: the flavor has no repository %q", file, p.Name, p.Archive)
			}
		}
	}
	return nil
}
