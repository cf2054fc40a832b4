// SPDX-License-Identifier: Apache-2.0

package sshkeys

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// lists is the document at WantedPath: the entries (keys and sources) of each user,
// by their place in the config. Steps may run before and after the top-level users
// are created.
type lists struct {
	Users map[string][]string `json:"users"` // top-level users
	Steps map[string][]string `json:"steps"`
}

// Wanted returns the list of entries of each user in this boot.
func (s Store) Wanted() (map[string][]string, error) {
	l, err := s.lists()
	out := map[string][]string{}
	for _, user := range slices.Concat(slices.Collect(maps.Keys(l.Users)), slices.Collect(maps.Keys(l.Steps))) {
		out[user] = l.of(user)
	}
	return out, err
}

func (l lists) of(user string) []string { return unique(slices.Concat(l.Users[user], l.Steps[user])) }

func (s Store) lists() (l lists, err error) {
	data, err := s.Root.Read(WantedPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err == nil:
		err = json.Unmarshal(data, &l)
	}
	if err != nil {
		l, err = lists{}, fmt.Errorf("reading which SSH keys are wanted: %w", err)
	}
	if l.Users == nil {
		l.Users = map[string][]string{}
	}
	if l.Steps == nil {
		l.Steps = map[string][]string{}
	}
	return l, err
}

// Want records the entries of a user and returns all entries that the user has. The
// entries of a step are added to those of other steps in this boot; top-level
// entries replace earlier ones. A damaged document is begun anew.
func (s Store) Want(user string, entries []string, step bool) (all []string, err error) {
	l, damage := s.lists()
	if step {
		l.Steps[user] = unique(slices.Concat(l.Steps[user], entries))
	} else {
		l.Users[user] = entries
	}
	if all = l.of(user); s.Root.Dry != nil {
		return all, damage
	}
	data, err := json.MarshalIndent(l, "", " ")
	if err == nil {
		_, err = s.Root.Replace(WantedPath, tree.File{Data: append(data, '\n'), Mode: 0o600})
	}
	if err != nil {
		return all, fmt.Errorf("noting which SSH keys are wanted: %w", err)
	}
	return all, damage
}

func unique(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
