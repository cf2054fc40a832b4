// SPDX-License-Identifier: Apache-2.0

// Package history is the boot history of a node: what was booted, upgraded, proven
// and given up. The document outlives slots, because it is on the partition COS_OEM.
// Its size is bounded. Append holds a lock; after a power cut the document is the old
// one or the new one.
//
// The document is JSON: {"version": 1, "entries": [...]}, oldest first.
package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// Dir is where a node keeps its history.
const Dir = layout.NotesDir

// Names in the directory.
const (
	File    = "history.json"
	Damaged = "history.json.damaged" // the damaged document that File replaced
)

// Bounds of the document.
const (
	MaxEntries = 50   // the oldest go first
	MaxMessage = 2000 // bytes of Entry.Message; the rest is cut
)

// Version is the version of the document that this package writes. Readers ignore
// keys that they do not know; a key never changes its meaning.
const Version = 1

// ErrDamaged is wrapped by errors about a document that cannot be decoded. Append then
// begins a new document and returns ErrDamaged although it has written the entry.
var ErrDamaged = errors.New("the boot history is damaged")

// A Kind says what happened.
type Kind string

// The kinds of entries.
const (
	Boot        Kind = "boot"         // a slot was started: the node became ready, or the initramfs gave up
	Upgrade     Kind = "upgrade"      // another slot was written
	Rollback    Kind = "rollback"     // a person rolled back
	TrialFailed Kind = "trial-failed" // one boot of a slot on trial did not prove it
	Fallback    Kind = "fallback"     // a trial was given up, or the good slot did not come up
	Good        Kind = "good"         // a slot on trial was proven
	Reset       Kind = "reset"        // the data of the node was removed
	Datastore   Kind = "datastore"    // the datastore of Kubernetes was put back, or could not be prepared
)

// An Outcome says how an event went.
type Outcome string

// The outcomes.
const (
	OK     Outcome = "ok"
	Failed Outcome = "failed"
)

// Entry is one event.
type Entry struct {
	Time    time.Time   `json:"time"`             // by the node's clock, which may be wrong
	BootID  string      `json:"bootID,omitempty"` // /proc/sys/kernel/random/boot_id
	Kind    Kind        `json:"kind"`
	Slot    layout.Slot `json:"slot,omitempty"`
	Version string      `json:"version,omitempty"` // KAIROS_VERSION of the slot, if it is known
	Outcome Outcome     `json:"outcome"`
	Message string      `json:"message,omitempty"` // for people
}

type document struct {
	Version int     `json:"version"`
	Entries []Entry `json:"entries"`
}

// Read returns the entries in dir, oldest first; none if there is no document. A file
// that is not such a document is ErrDamaged.
func Read(dir string) ([]Entry, error) {
	data, err := os.ReadFile(filepath.Join(dir, File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the boot history: %w", err)
	}
	return Decode(data)
}

// Decode reads a document. Data that is not one is ErrDamaged.
func Decode(data []byte) ([]Entry, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if d.Version < 1 {
		return nil, fmt.Errorf("%w: it has no version", ErrDamaged)
	}
	return bounded(d.Entries), nil
}

// Encode returns a document with the newest MaxEntries of entries.
func Encode(entries []Entry) ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	err := out.Encode(document{Version: Version, Entries: append([]Entry{}, bounded(entries)...)})
	if err != nil {
		return nil, fmt.Errorf("encoding the boot history: %w", err)
	}
	return b.Bytes(), nil
}

// Append adds e to the document in dir and makes both if they are missing. The entry is
// on the medium when Append returns without an error or with ErrDamaged: then the
// document was damaged, is kept as Damaged, and a new one was begun.
func Append(dir string, e Entry) (err error) {
	if err := makeDir(dir); err != nil {
		return fmt.Errorf("writing the boot history: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return fmt.Errorf("writing the boot history: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	entries, damage := Read(dir)
	if damage != nil {
		damage = errors.Join(damage, setAside(dir))
	}
	e.Message = cut(e.Message)
	data, err := Encode(append(entries, e))
	if err == nil {
		err = durable.Write(filepath.Join(dir, File), data, 0o644)
	}
	if err != nil {
		err = fmt.Errorf("writing the boot history: %w", err)
	}
	return errors.Join(damage, err)
}

// makeDir makes dir and writes its name to the medium.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// lockDir opens dir and waits for its lock. Closing the file releases the lock.
func lockDir(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", dir, err), d.Close())
	}
	return d, nil
}

func setAside(dir string) error {
	err := durable.Rename(filepath.Join(dir, File), filepath.Join(dir, Damaged))
	if err != nil {
		return fmt.Errorf("keeping the damaged one aside: %w", err)
	}
	return nil
}

func bounded(entries []Entry) []Entry { return entries[max(0, len(entries)-MaxEntries):] }

// cut shortens a message and makes it valid UTF-8, which JSON must be.
func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), MaxMessage)], "")
}
