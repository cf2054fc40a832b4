// SPDX-License-Identifier: Apache-2.0

// Package unpack puts the files of an OCI image into a directory. The layers
// pass through in pieces and are checked against their digests by
// framework/source; nothing but files, directories and links inside of the
// directory is made, whatever names and links the layers have.
//
// # The order
//
//	layers   bottom to top, into a folder of their own in the directory, with
//	         the whiteouts of OCI; this needs the room of the image twice while
//	         an older version of it is there
//	check    nothing of another kind is in the place of a file or a directory
//	         ---- up to here, nothing that was there before is changed ----
//	forget   the record of what was unpacked before
//	move     each file by rename; directories that exist keep owner and mode
//	record   the digest of the image, after all of it is on the medium
//
// A run that is cut leaves whole files, old and new ones, and the next run does
// all of it again. What an older version of the image had and the new one has
// not stays, because others may have put it there.
package unpack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/source"
)

// Own is the folder in a target that holds the records and, while an image is
// unpacked, its files.
const Own = ".kairos-unpacked"

const staging = Own + "/new"

// Options of an unpacking.
type Options struct {
	// Ref is what the image is called: one record is kept for each.
	Ref string
	// KeepOwner leaves owners alone, for tests that do not run as root.
	KeepOwner bool
}

// Done tells whether a target has the image that ref names, when that can be
// told without looking at the image: the ref has a digest.
func Done(target, ref string) bool {
	if !strings.Contains(ref, "@sha256:") {
		return false
	}
	data, err := os.ReadFile(path.Join(target, recordOf(ref)))
	return err == nil && len(data) > 0
}

func recordOf(ref string) string {
	sum := sha256.Sum256([]byte(ref))
	return Own + "/" + hex.EncodeToString(sum[:16])
}

// Image puts the files of image into the directory target, which exists. It
// tells whether anything was done.
func Image(ctx context.Context, image v1.Image, target string, o Options) (changed bool, err error) {
	digest, err := image.Digest()
	if err != nil {
		return false, err
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	record := recordOf(o.Ref)
	if have, err := root.ReadFile(record); err == nil && string(have) == digest.String()+"\n" {
		return false, nil
	}
	if err := root.MkdirAll(Own, 0o700); err != nil {
		return false, err
	}
	unlock, err := lock(root)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, root.RemoveAll(staging), unlock()) }()
	if err := errors.Join(root.RemoveAll(staging), root.MkdirAll(staging, 0o700)); err != nil {
		return false, err
	}
	if err := stage(ctx, image, root, o); err != nil {
		return false, fmt.Errorf("unpacking the image: %w; nothing in the target was changed", err)
	}
	if err := root.Remove(record); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := move(root, o); err != nil {
		return true, fmt.Errorf("moving the files of the image into place: %w; run the step again", err)
	}
	return true, keep(root, record, digest.String())
}

// lock keeps other programs that unpack into the same target away.
func lock(root *os.Root) (unlock func() error, err error) {
	f, err := root.Open(Own)
	if err != nil {
		return nil, err
	}
	release, err := blockdev.Lock(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { return errors.Join(release(), f.Close()) }, nil
}

// stage unpacks the layers and compares the result with what is there.
func stage(ctx context.Context, image v1.Image, root *os.Root, o Options) (err error) {
	layers, err := source.Layers(image, nil)
	if err != nil {
		return err
	}
	into, err := root.OpenRoot(staging)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	for _, l := range layers {
		if err := newPass(into, o).run(ctx, l); err != nil {
			return fmt.Errorf("layer %s: %w", l.DiffID, err)
		}
	}
	return conflicts(root, into)
}

// maxConflicts is how many are told of.
const maxConflicts = 5

// conflicts are things of another kind in the place of the image's.
func conflicts(root, into *os.Root) error {
	var found []error
	err := fs.WalkDir(into.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		have, err := root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case err != nil:
			return err
		case have.IsDir() != e.IsDir():
			found = append(found, fmt.Errorf("%s is %s there, and %s in the image", name, kind(have.Mode()), kind(e.Type())))
		}
		if len(found) >= maxConflicts {
			return fs.SkipAll
		}
		if e.IsDir() && !have.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	return errors.Join(append(found, err)...)
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a link"
	}
	return "a file"
}

// move renames what is staged into its place.
func move(root *os.Root, o Options) (err error) {
	into, err := root.OpenRoot(staging)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	return fs.WalkDir(into.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case !e.IsDir():
			err := root.Rename(path.Join(staging, name), name)
			if errors.Is(err, unix.EXDEV) {
				return fmt.Errorf("%w: another file system is mounted in the target; unpack into that directory itself", err)
			}
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return makeDir(root, name, info, o)
	})
}

// makeDir makes a directory like the one of the image, unless there is one.
func makeDir(root *os.Root, name string, like fs.FileInfo, o Options) error {
	err := root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && !o.KeepOwner {
		st := like.Sys().(*unixStat)
		err = root.Lchown(name, int(st.Uid), int(st.Gid))
	}
	if err == nil {
		err = root.Chmod(name, permissions(like.Mode()))
	}
	return err
}

// permissions are the bits that chmod(2) takes.
func permissions(m fs.FileMode) fs.FileMode {
	return m & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
}

// keep writes the record, behind everything that it is about.
func keep(root *os.Root, record, digest string) (err error) {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", root.Name(), err)
	}
	tmp := record + ".new"
	f, err := root.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteString(digest + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return root.Rename(tmp, record)
}
