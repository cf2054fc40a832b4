// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/agent/apply"
	"github.com/kairos-build/kairos-build/framework/agent/tree"
	"github.com/kairos-build/kairos-build/framework/config"
)

// Content is what a URL gives.
type Content = io.Reader

// errChecksum is not worth another try.
var errChecksum = errors.New("the checksum differs")

// downloads fetches what is not there with its checksum. A file without a
// checksum is fetched each time, and replaced when it differs.
func (w *work) downloads(ctx context.Context) {
	for _, d := range w.step.Downloads {
		changed, err := w.download(ctx, d)
		w.item("download", d.Path.Text, changed, err, d.Origin)
	}
}

func (w *work) download(ctx context.Context, d config.Download) (changed bool, err error) {
	host, err := w.Root.Resolve(d.Path.Text)
	if err != nil {
		return false, err
	}
	have, err := fileSum(host)
	if err != nil {
		return false, err
	}
	switch {
	case d.SHA256 != "" && have == d.SHA256:
		return w.attributes(d)
	case w.Dry():
		return true, w.wouldDownload(d)
	}
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	if _, err := w.Root.MakeParent(d.Path.Text); err != nil {
		return false, err
	}
	err = w.Fetcher.Fetch(ctx, d.URL.Text, func(content Content) error {
		changed, err = w.store(d, host, have, content)
		return err
	})
	return changed, err
}

// wouldDownload notes a file with words in place of its content.
func (w *work) wouldDownload(d config.Download) error {
	if err := w.Root.CheckWritable(d.Path.Text); err != nil {
		return err
	}
	uid, gid, err := apply.Owner(w.Root, d.Owner, d.Group)
	if err != nil {
		return err
	}
	w.Root.Dry.Note(tree.Change{Path: d.Path.Text, New: []byte("the content of " + withoutQuery(d.URL.Text) + "\n"), Mode: tree.Bits(d.Mode), UID: uid, GID: gid})
	return nil
}

// fileSum is the SHA-256 sum of a file in hex, or empty when there is none.
func fileSum(host string) (sum string, err error) {
	f, err := os.Open(host)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// store writes content beside host and renames it when it is whole and right.
func (w *work) store(d config.Download, host, have string, content Content) (changed bool, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(host), ".kairos-*")
	if err != nil {
		return false, err
	}
	defer func() {
		if removeErr := os.Remove(tmp.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}()
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(tmp, h), content)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return false, err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	switch {
	case d.SHA256 != "" && sum != d.SHA256:
		return false, fmt.Errorf("%w: got %s, want %s", errChecksum, sum, d.SHA256)
	case sum == have:
		return w.attributes(d)
	}
	if err := os.Rename(tmp.Name(), host); err != nil {
		return false, err
	}
	if _, err := w.attributes(d); err != nil {
		return true, err
	}
	return true, tree.SyncDir(filepath.Dir(host))
}

// attributes gives the file its mode and owner.
func (w *work) attributes(d config.Download) (changed bool, err error) {
	uid, gid, err := apply.Owner(w.Root, d.Owner, d.Group)
	if err != nil {
		return false, err
	}
	return w.Root.SetAttributes(d.Path.Text, tree.File{Mode: tree.Bits(d.Mode), UID: uid, GID: gid})
}
