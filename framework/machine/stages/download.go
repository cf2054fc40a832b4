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
	"syscall"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/internal/regular"
	"github.com/kairos-build/kairos-build/framework/machine/apply"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// Content is the content of a URL.
type Content = io.Reader

// errChecksum stops the retries of a download.
var errChecksum = errors.New("the checksum differs")

// downloads fetches the files that are missing or do not match their checksum. A
// file without a checksum is fetched each time, and replaced if it differs.
func (w *work) downloads(ctx context.Context) {
	for _, d := range w.step.Downloads {
		changed, err := w.download(ctx, d)
		w.item("download", d.Path.Text, changed, err, d.Origin)
	}
}

func (w *work) download(ctx context.Context, d config.Download) (changed bool, err error) {
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	have, err := w.lookAt(ctx, d.Path.Text)
	if err != nil {
		return false, err
	}
	defer have.close()
	switch {
	case d.SHA256 != "" && have.sum == d.SHA256:
		return w.attributes(d, have)
	case w.Dry():
		return true, w.wouldDownload(d)
	}
	dir, name, err := w.Root.Parent(d.Path.Text)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	err = w.Fetcher.Fetch(ctx, d.URL.Text, func(content Content) error {
		changed, err = w.store(d, dir, name, have, content)
		return err
	})
	return changed, err
}

// wouldDownload notes a file for the dry run, with words in place of its content.
func (w *work) wouldDownload(d config.Download) error {
	if err := w.Root.CheckWritable(d.Path.Text); err != nil {
		return err
	}
	f, err := w.fileOf(d)
	if err != nil {
		return err
	}
	w.Root.Dry.Note(tree.Change{Path: d.Path.Text, New: []byte("the content of " + fetch.Shown(d.URL.Text) + "\n"), Mode: f.Mode, UID: f.UID, GID: f.GID})
	return nil
}

// maxCompared is the largest file, in bytes, that is read for comparison. A larger
// file counts as different: a user can make a sparse file that takes days to read.
const maxCompared = 16 << 30

// present is the open file at the path of a download. The sum is empty if there is
// no regular file.
type present struct {
	dir  *tree.Dir
	file *os.File
	sum  string // SHA-256, in hex
}

func (p present) close() {
	if p.file != nil {
		_ = p.file.Close() // it was only read
	}
	if p.dir != nil {
		p.dir.Close()
	}
}

// lookAt opens the file at path and computes its sum.
func (w *work) lookAt(ctx context.Context, path string) (p present, err error) {
	dir, name, err := w.Root.OpenParent(path)
	if errors.Is(err, fs.ErrNotExist) {
		return present{}, nil
	}
	if err != nil {
		return present{}, err
	}
	p.dir = dir
	switch p.file, err = dir.OpenFile(name); {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrKind) && !errors.Is(err, syscall.EISDIR):
		return p, nil
	case err == nil:
		p.sum, err = sumOf(ctx, p.file)
	}
	if err != nil {
		p.close()
		return present{}, err
	}
	return p, nil
}

func sumOf(ctx context.Context, f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil || info.Size() > maxCompared {
		return "", err
	}
	h := sha256.New()
	for at := int64(0); at < maxCompared; {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		n, err := io.CopyN(h, f, 16<<20)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		at += n
	}
	return "", nil // the file grows
}

// store replaces name by content, if content is complete and correct.
func (w *work) store(d config.Download, dir *tree.Dir, name string, have present, content Content) (changed bool, err error) {
	next, err := dir.Create(name)
	if err != nil {
		return false, err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(next, h), content)
	sum := hex.EncodeToString(h.Sum(nil))
	if err == nil && d.SHA256 != "" && sum != d.SHA256 {
		err = fmt.Errorf("%w: got %s, want %s", errChecksum, sum, d.SHA256)
	}
	if err != nil {
		return false, errors.Join(err, next.Discard())
	}
	if sum == have.sum {
		changed, err := w.attributes(d, have)
		return changed, errors.Join(err, next.Discard())
	}
	f, err := w.fileOf(d)
	if err != nil {
		return false, errors.Join(err, next.Discard())
	}
	return true, next.Commit(f)
}

// fileOf returns the mode and the owner of a download.
func (w *work) fileOf(d config.Download) (tree.File, error) {
	uid, gid, err := apply.Owner(w.Root, d.Owner, d.Group)
	return tree.File{Mode: tree.Bits(d.Mode), UID: uid, GID: gid}, err
}

// attributes gives the existing file its mode and owner.
func (w *work) attributes(d config.Download, have present) (changed bool, err error) {
	f, err := w.fileOf(d)
	if err != nil {
		return false, err
	}
	if w.Dry() {
		return w.Root.SetAttributes(d.Path.Text, f)
	}
	return have.dir.SetAttributes(have.file, f)
}
