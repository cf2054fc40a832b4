// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// IDsFile records the ids that were assigned. It is on persistent storage: /etc
// is new at every boot, but the files in /home keep their numeric owners.
//
// It is a JSON document: {"version": 1, "users": {NAME: id}, "groups": {NAME: id}}.
// Entries are never removed, so that no user inherits the files of a former user.
const IDsFile = "/var/lib/kairos/users.json"

// IDs are the ids that were assigned at this boot or an earlier one.
type IDs struct {
	Version int            `json:"version"`
	Users   map[string]int `json:"users"`
	Groups  map[string]int `json:"groups"`
}

// The ranges for new ids, as in Debian's adduser.conf(5).
const (
	firstUser, lastUser     = 1000, 59999
	firstSystem, lastSystem = 100, 999
)

// ReadIDs reads IDsFile. It never returns nil: a missing file gives empty IDs,
// and a damaged or unreadable file gives empty IDs and an error to report.
func ReadIDs(root tree.Root) (*IDs, error) {
	data, err := root.Read(IDsFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newIDs(), nil
	case err != nil:
		return newIDs(), err
	}
	ids := new(IDs)
	if err := json.Unmarshal(data, ids); err != nil || ids.Users == nil || ids.Groups == nil {
		return newIDs(), fmt.Errorf("%s is damaged and will be made new from the owners of the home directories", IDsFile)
	}
	return ids, nil
}

func newIDs() *IDs {
	return &IDs{Version: 1, Users: map[string]int{}, Groups: map[string]int{}}
}

// Write writes IDsFile.
func (ids *IDs) Write(root tree.Root) error {
	data, err := json.MarshalIndent(ids, "", "  ")
	if err == nil {
		_, err = root.Replace(IDsFile, tree.File{Data: append(data, '\n'), Mode: 0o600})
	}
	if err != nil {
		return fmt.Errorf("recording user ids: %w", err)
	}
	return nil
}

// Free picks an id for name: the recorded id in kept, else wish (0: no wish), else
// the lowest free id from 1000 up, or for a system account the highest free id
// below 1000. An id in use is never picked. The last step also skips the ids in
// reserved, such as the owners of files in /home.
func Free(name string, kept map[string]int, wish int, system bool, taken map[int]string, reserved map[int]bool) (int, error) {
	if id, ok := kept[name]; ok && taken[id] == "" {
		return id, nil
	}
	if wish > 0 && taken[wish] == "" && !belongs(wish, name, kept) {
		return wish, nil
	}
	id, step, last := firstUser, 1, lastUser
	if system {
		id, step, last = lastSystem, -1, firstSystem
	}
	for ; id != last+step; id += step {
		if taken[id] == "" && !reserved[id] && !belongs(id, name, kept) {
			return id, nil
		}
	}
	return 0, errors.New("no id is free")
}

// belongs tells whether id was assigned to another name.
func belongs(id int, name string, kept map[string]int) bool {
	for other, of := range kept {
		if of == id && other != name {
			return true
		}
	}
	return false
}
