// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/wipe"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// MarkPath is the file on the oem partition that holds a Mark. It exists from the
// beginning of a reset to its end.
const MarkPath = layout.NotesDir + "/reset.json"

// A Mark describes a reset that has begun.
type Mark struct {
	Begun time.Time `json:"begun"`
	OEM   bool      `json:"oem"` // Options.OEM
}

// takeOver adopts the request of an interrupted reset, which may have cleared half of
// /oem.
func (r *run) takeOver() error {
	data, err := r.Root.Read(MarkPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var m Mark
	if json.Unmarshal(data, &m) == nil && m.OEM { // a damaged mark is written again
		r.OEM = true
	}
	r.Log.Info("going on with a reset that was interrupted", "begun", m.Begun, "oem", r.OEM)
	return nil
}

func (r *run) mark(context.Context) error {
	data, err := json.Marshal(Mark{Begun: r.Now.UTC(), OEM: r.OEM})
	if err != nil {
		return err
	}
	_, err = r.Root.Replace(MarkPath, tree.File{Data: data, Mode: 0o600})
	return err
}

func (r *run) unmark(context.Context) error {
	if _, err := r.Root.Remove(MarkPath); err != nil {
		return err
	}
	return r.syncOEM()
}

func (r *run) syncOEM() error {
	dir, err := r.Root.Open(path.Dir(MarkPath))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// askToWipe writes the request that /init acts on.
func (r *run) askToWipe(context.Context) error {
	data, err := wipe.NewRequest(r.UUID, r.Now).Encode()
	if err != nil {
		return err
	}
	_, err = r.Root.Replace(wipe.Path, tree.File{Data: data, Mode: 0o600})
	return err
}

// clearOEM removes everything in /oem but the system's own files, if asked for.
func (r *run) clearOEM(context.Context) error {
	if !r.OEM {
		return nil
	}
	dir, err := r.Root.Open(layout.MountOEM)
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == path.Base(path.Dir(MarkPath)) || e.Name() == "lost+found" {
			continue
		}
		if err := dir.RemoveAll(e.Name()); err != nil {
			return fmt.Errorf("removing %s/%s: %w", layout.MountOEM, e.Name(), err)
		}
	}
	return dir.Sync()
}
