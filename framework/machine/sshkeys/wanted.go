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

// lists are the document at WantedPath: the entries of each user, keys and
// sources, by where the config has them. Steps may run before the users at the
// top of the config are made, and after.
type lists struct {
	Users map[string][]string `json:"users"` // at the top
	Steps map[string][]string `json:"steps"`
}

// Wanted are the lists of SSH keys that users have in this boot.
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

// Want notes the entries of a user: those of a step are added to what other
// steps of this boot gave, others take the place of earlier ones. It returns all
// that the user has. A damaged document is begun anew.
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
