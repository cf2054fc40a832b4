// SPDX-License-Identifier: Apache-2.0

package treecopy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// suffix marks an unfinished copy, which may be deleted at any time.
const suffix = ".unfinished"

// A Batch makes several copies on one file system. After a power cut each is there
// whole or not at all: Add copies under another name, and Commit flushes the file
// system once and then renames.
type Batch struct {
	// Dir is the directory that holds the copies.
	Dir   string
	names []string
}

// Add copies the directory from to name in Dir, where it appears with Commit. An
// empty from means an empty directory with mode 0755. Add first deletes the
// unfinished copy of an interrupted boot.
func (b *Batch) Add(from, name string) error {
	unfinished := b.Dir + "/" + name + suffix
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if from == "" {
		if err := os.Mkdir(unfinished, 0o755); err != nil {
			return err
		}
	} else if err := Copy(from, unfinished); err != nil {
		return errors.Join(err, os.RemoveAll(unfinished))
	}
	b.names = append(b.names, name)
	return nil
}

// Commit makes every copy visible under its name.
func (b *Batch) Commit() error {
	if len(b.names) == 0 {
		return nil
	}
	dir, err := os.Open(b.Dir)
	if err != nil {
		return err
	}
	err = b.commit(dir)
	return errors.Join(err, dir.Close())
}

func (b *Batch) commit(dir *os.File) error {
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("flushing the file system of %s: %w", b.Dir, err)
	}
	for _, name := range b.names {
		if err := os.Rename(b.Dir+"/"+name+suffix, b.Dir+"/"+name); err != nil {
			return err
		}
	}
	b.names = nil
	return dir.Sync()
}

// Exists says whether name is in Dir.
func (b *Batch) Exists(name string) (bool, error) {
	_, err := os.Lstat(b.Dir + "/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
