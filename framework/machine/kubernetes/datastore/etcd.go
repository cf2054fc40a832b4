// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// etcd is what a stopped etcd's database says of its cluster, see the buckets "cluster"
// and "members" in server/storage/schema of etcd 3.5 and 3.6.
type etcd struct {
	major, minor int // the cluster version; 0.0: not determined yet
	members      int
}

// lockTime is how long an etcd may hold its database.
const lockTime = 2 * time.Second

// ErrDamaged is wrapped by errors about a file that is no database of etcd any more.
var ErrDamaged = errors.New("the database of etcd is damaged")

// errRunning says that an etcd holds the database.
var errRunning = errors.New("etcd runs, and must be stopped")

// pageSize is the smallest page of a database, which begins with two of them.
const pageSize = 4096

// readEtcd reads a database.
func readEtcd(path string) (e etcd, err error) {
	if info, err := os.Stat(path); err == nil && info.Size() < 2*pageSize {
		return e, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, path, info.Size())
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTime})
	switch {
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return e, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	case errors.Is(err, berrors.ErrTimeout):
		return e, fmt.Errorf("reading %s: %w", path, errRunning)
	case err != nil:
		return e, fmt.Errorf("reading %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := view(db, e.read); err != nil {
		return etcd{}, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return e, nil
}

// view reads a database. bbolt panics where a page is not what it should be. It maps the
// file into memory: where the file is cut short, reading is a fault, which is made a panic.
func view(db *bbolt.DB, read func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("%v", why)
		}
	}()
	return db.View(read)
}

func (e *etcd) read(tx *bbolt.Tx) (err error) {
	if members := tx.Bucket([]byte("members")); members != nil {
		e.members = members.Stats().KeyN
	}
	cluster := tx.Bucket([]byte("cluster"))
	if cluster == nil {
		return nil
	}
	e.major, e.minor, err = clusterVersion(string(cluster.Get([]byte("clusterVersion"))))
	return err
}

// clusterVersion reads a version such as 3.5.0; an empty one is 0.0.
func clusterVersion(text string) (major, minor int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	words := strings.Split(text, ".")
	if len(words) < 2 {
		return 0, 0, fmt.Errorf("its cluster version is %q", text)
	}
	major, err = strconv.Atoi(words[0])
	if err == nil {
		minor, err = strconv.Atoi(words[1])
	}
	if err != nil {
		return 0, 0, fmt.Errorf("its cluster version is %q", text)
	}
	return major, minor, nil
}

// String is the cluster version without a patch level, such as 3.5.
func (e etcd) String() string { return fmt.Sprintf("%d.%d", e.major, e.minor) }

// above tells whether e has a higher cluster version than a copy.
func (e etcd) above(c Copy) (bool, error) {
	major, minor, err := clusterVersion(c.Etcd)
	return cmp.Or(cmp.Compare(e.major, major), cmp.Compare(e.minor, minor)) > 0, err
}
