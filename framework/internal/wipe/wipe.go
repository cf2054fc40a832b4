// SPDX-License-Identifier: Apache-2.0

// Package wipe makes a new file system on the persistent partition. A running system
// always has that partition mounted, so wiping takes two programs: the agent leaves
// a Request on the oem partition, and /init of the next boot acts on it before it
// mounts the persistent partition.
//
// A request names the UUID of the new file system. A file system with that UUID is
// new already, so a request that cannot be removed (a read-only oem partition) does
// not wipe the partition at every boot. The superblock with the UUID is written
// last: a power cut leaves a partition without a file system, and the request, which
// the next boot acts on.
package wipe

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/grow"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// Path is where the request is, in the running system.
const Path = layout.NotesDir + "/wipe.json"

// Version is the value of Request.Version that this package writes. A request
// of another version is refused.
const Version = 1

// A Request asks for a new file system on the persistent partition.
type Request struct {
	Version int `json:"version"`
	// UUID is that of the new file system: 32 hex digits.
	UUID      string    `json:"uuid"`
	Requested time.Time `json:"requested"`
}

// NewRequest asks for a file system with the given UUID.
func NewRequest(uuid [16]byte, now time.Time) Request {
	return Request{Version: Version, UUID: hex.EncodeToString(uuid[:]), Requested: now.UTC()}
}

// Encode returns the request as it is stored.
func (r Request) Encode() ([]byte, error) { return json.Marshal(r) }

// Read reads the request in the file name. It is nil when there is none.
func Read(name string) (*Request, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decode(data)
}

func decode(data []byte) (*Request, error) {
	r := new(Request)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("decoding the request to wipe: %w", err)
	}
	if r.Version != Version {
		return nil, fmt.Errorf("decoding the request to wipe: version %d, want %d", r.Version, Version)
	}
	if _, err := r.uuid(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r Request) uuid() (id [16]byte, err error) {
	raw, err := hex.DecodeString(r.UUID)
	if err != nil || len(raw) != len(id) || [16]byte(raw) == id {
		return id, fmt.Errorf("decoding the request to wipe: uuid %q: want 32 hex digits that are not all zero", r.UUID)
	}
	return [16]byte(raw), nil
}

// Do acts on the request: device gets an empty file system, unless it has that one
// already. size is the partition's, in bytes; the file system starts small, and
// grows when it is mounted. Do tells whether it wrote.
func (r Request) Do(device string, size int64, now time.Time) (wiped bool, err error) {
	id, err := r.uuid()
	if err != nil {
		return false, err
	}
	switch old, err := grow.Inspect(device); {
	case err == nil && old.UUID == id:
		return false, nil
	case err != nil && !errors.Is(err, grow.ErrNotExt4):
		return false, err
	}
	f, err := os.OpenFile(device, os.O_RDWR|os.O_EXCL, 0) // refused while it is mounted
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	options := ext4.Options{Label: layout.LabelPersistent, UUID: id, Time: now}
	if err := format(f, min(size, newSize), options); err != nil {
		return false, fmt.Errorf("making a new file system on %s: %w", device, err)
	}
	return true, nil
}

// newSize is the size of a new disk's persistent partition, in bytes.
const newSize = 64 * layout.MiB

// disk is the part of a device that format needs.
type disk interface {
	io.WriterAt
	Sync() error
}

// format makes a file system of size bytes on a device that holds old data. It
// erases the block with the superblock first and writes it last.
func format(d disk, size int64, o ext4.Options) error {
	if err := zero(d, size); err != nil {
		return err
	}
	w := &headLast{w: d}
	if err := ext4.Write(w, size, nil, o); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	if _, err := d.WriteAt(w.head[:], 0); err != nil {
		return err
	}
	return d.Sync()
}

// zero writes zeros over the first size bytes, as ext4.Write expects.
func zero(d disk, size int64) error {
	buf := make([]byte, layout.MiB)
	for at := int64(0); at < size; at += int64(len(buf)) {
		if _, err := d.WriteAt(buf[:min(size-at, int64(len(buf)))], at); err != nil {
			return err
		}
	}
	return d.Sync()
}

// headLast is a writer that keeps the first block in memory.
type headLast struct {
	w    io.WriterAt
	head [4096]byte
}

func (h *headLast) WriteAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(h.head)) {
		n = copy(h.head[off:], p)
	}
	if n == len(p) {
		return n, nil
	}
	m, err := h.w.WriteAt(p[n:], off+int64(n))
	return n + m, err
}
