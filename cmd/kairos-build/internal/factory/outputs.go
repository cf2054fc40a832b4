// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/folder"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// stagePrefix begins the name of the folder in which outputs are made. It is
// inside the output folder, so that a rename never crosses file systems.
const stagePrefix = ".kairos-build-"

// An outputs is an output folder. Complete outputs appear in it by rename. One
// process at a time writes to it.
type outputs struct {
	dir   string
	stage string
	stamp string // file with the stamp of the finished outputs
	lock  *flock.Flock
}

// openOutputs makes dir, waits for another build that writes to it, removes what a
// killed build left, and checks that dir can be written.
func openOutputs(ctx context.Context, dir, stateDir string, waiting func()) (*outputs, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the output folder: %w; choose another with -o", err)
	}
	stamps := filepath.Join(stateDir, "outputs")
	if err := os.MkdirAll(stamps, 0o755); err != nil {
		return nil, fmt.Errorf("making the state folder: %w; choose another with KAIROS_BUILD_STATE", err)
	}
	sum := sha256.Sum256([]byte(dir))
	name := filepath.Join(stamps, hex.EncodeToString(sum[:8]))
	o := &outputs{dir: dir, stamp: name + ".json", lock: flock.New(name + ".lock")}
	if free, err := o.lock.TryLock(); err == nil && !free {
		waiting()
	}
	if _, err := o.lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return nil, fmt.Errorf("waiting for another build to finish with %s: %w", dir, err)
	}
	if err := o.makeStage(); err != nil {
		return nil, errors.Join(err, o.lock.Unlock())
	}
	return o, nil
}

func (o *outputs) makeStage() error {
	old, err := folder.Glob(o.dir, stagePrefix+"*")
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing what an interrupted build left: %w", err)
		}
	}
	if o.stage, err = os.MkdirTemp(o.dir, stagePrefix); err != nil {
		return fmt.Errorf("writing to the output folder: %w; choose another with -o", err)
	}
	return nil
}

// path is the path of the finished output name.
func (o *outputs) path(name string) string { return filepath.Join(o.dir, name) }

// staged is the path where the output name is made.
func (o *outputs) staged(name string) string { return filepath.Join(o.stage, name) }

// publish moves a staged output to its path. It exchanges an older output in one
// step, so that there is one at any time.
func (o *outputs) publish(name string) error {
	from, to := o.staged(name), o.path(name)
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) {
		err = os.Rename(from, to)
	}
	if err != nil {
		return fmt.Errorf("putting %s in its place: %w", to, err)
	}
	return nil
}

// An inPlace is an error about an output in the making. Its text names the output folder:
// people know that, and not the stage inside it.
type inPlace struct {
	error
	out *outputs
}

func (e inPlace) Error() string { return strings.ReplaceAll(e.error.Error(), e.out.stage, e.out.dir) }

func (e inPlace) Unwrap() error { return e.error }

// close removes the stage, with the old outputs in it, and unlocks the folder.
func (o *outputs) close() error {
	return errors.Join(os.RemoveAll(o.stage), o.lock.Unlock())
}

// A stamp identifies finished outputs. The next build can tell from it, without
// reading the outputs, that they are unchanged.
type stamp struct {
	Key   string               `json:"key"`   // of everything the outputs depend on
	Image string               `json:"image"` // of everything the image depends on
	Files map[string]fileStamp `json:"files"`
}

type fileStamp struct {
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime_ns"`
	Inode uint64 `json:"inode"`
}

func stampOf(path string) (fileStamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fileStamp{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return fileStamp{Size: st.Size, MTime: st.Mtim.Nano(), Inode: st.Ino}, nil
}

// stampFiles lists the files that a stamp covers, relative to the folder.
func (o *outputs) stampFiles() ([]string, error) {
	var names []string
	for _, a := range artifacts() {
		for _, file := range a.files() {
			if file == "" {
				continue
			}
			more, err := o.filesOf(file)
			if err != nil {
				return nil, err
			}
			names = append(names, more...)
		}
	}
	return names, nil
}

// filesOf are the files of an output that may be a folder, or not be there.
func (o *outputs) filesOf(output string) (names []string, _ error) {
	return names, filepath.WalkDir(o.path(output), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(o.dir, path)
		names = append(names, rel)
		return err
	})
}

// remember writes the stamp of the finished outputs.
func (o *outputs) remember(key, imageKey string) error {
	names, err := o.stampFiles()
	if err != nil {
		return err
	}
	s := stamp{Key: key, Image: imageKey, Files: map[string]fileStamp{}}
	for _, name := range names {
		if s.Files[name], err = stampOf(o.path(name)); err != nil {
			return err
		}
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteCache(o.stamp, data, 0o644)
}

// recall reads the stamp and compares it with the files below roots, or with all
// files if there are no roots. It returns the zero stamp if any of them differs.
func (o *outputs) recall(roots ...string) stamp {
	var s stamp
	if err := readJSON(o.stamp, &s); err != nil {
		return stamp{}
	}
	for name, want := range s.Files {
		if !below(name, roots) {
			continue
		}
		if got, err := stampOf(o.path(name)); err != nil || got != want {
			return stamp{}
		}
	}
	return s
}

func below(name string, roots []string) bool {
	return len(roots) == 0 || slices.ContainsFunc(roots, func(root string) bool {
		return name == root || strings.HasPrefix(name, root+string(filepath.Separator))
	})
}
