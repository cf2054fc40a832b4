// SPDX-License-Identifier: Apache-2.0

// Package unpack unpacks an OCI image into a directory. Layers are streamed, and
// framework/source checks them against their digests. The package makes only files,
// directories and links inside the directory, whatever names and links the layers
// have.
//
// # The order
//
//	layers   unpack them, bottom to top, into a staging folder in the directory,
//	         with the whiteouts of OCI; with an older version in place, this
//	         needs twice the space of the image
//	check    a directory and a file must not be in each other's place
//	         ---- up to here, no earlier file has changed ----
//	forget   the record of the earlier image
//	move     each file by rename; existing directories keep owner and mode
//	record   the digest of the image, after all of it is on the medium
//
// An interrupted run leaves complete files, old and new ones; the next run repeats
// everything. Files of an older version that the new version lacks stay, because
// another program may have put them there.
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
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/source"
)

// Own is the folder in a target that holds the records and, while an image is
// unpacked, its files.
const Own = ".kairos-unpacked"

const staging = Own + "/new"

// Options are the options of Image.
type Options struct {
	// Ref is the name of the image. Each name has its own record.
	Ref string
	// KeepOwner leaves owners alone, for tests that do not run as root.
	KeepOwner bool
}

// Done tells, without a look at the image, whether a target has the image ref. It
// is false for a ref without a digest.
func Done(target *tree.Dir, ref string) bool {
	if !strings.Contains(ref, "@sha256:") {
		return false
	}
	own, err := target.Open(Own)
	if err != nil {
		return false
	}
	defer own.Close()
	return readRecord(own, recordOf(ref)) != ""
}

func recordOf(ref string) string {
	sum := sha256.Sum256([]byte(ref))
	return hex.EncodeToString(sum[:16])
}

// readRecord returns the digest in a record, or nothing.
func readRecord(own *tree.Dir, record string) string {
	data, err := own.Read(record, 1<<10)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Image unpacks image into the directory target. It returns whether the target
// changed.
func Image(ctx context.Context, image v1.Image, target *tree.Dir, o Options) (changed bool, err error) {
	digest, err := image.Digest()
	if err != nil {
		return false, err
	}
	own, err := o.ownFolder(target)
	if err != nil {
		return false, err
	}
	defer own.Close()
	record := recordOf(o.Ref)
	if readRecord(own, record) == digest.String() {
		return false, nil
	}
	unlock, err := lock(own)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	root, err := target.OpenRoot()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, root.RemoveAll(staging), root.Close()) }()
	if err := errors.Join(root.RemoveAll(staging), root.Mkdir(staging, 0o700)); err != nil {
		return false, err
	}
	if err := stage(ctx, image, root, o); err != nil {
		return false, fmt.Errorf("unpacking the image: %w; nothing in the target was changed", err)
	}
	if err := own.Remove(record); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := move(root, o); err != nil {
		return true, fmt.Errorf("moving the files of the image into place: %w; run the step again", err)
	}
	return true, o.keep(root, own, record, digest.String())
}

// ownFolder opens Own, or makes it if it is missing. It refuses a folder that
// belongs to a user.
func (o Options) ownFolder(target *tree.Dir) (*tree.Dir, error) {
	own, err := target.Mkdir(Own, o.rootOnly(0o700))
	if !errors.Is(err, fs.ErrExist) {
		return own, err
	}
	if own, err = target.Open(Own); err != nil {
		return nil, err
	}
	if err := isOurs(own); err != nil {
		own.Close()
		return nil, err
	}
	return own, nil
}

func isOurs(own *tree.Dir) error {
	info, err := own.Stat()
	if err != nil {
		return err
	}
	if uid, _ := tree.Owner(info); uid != os.Geteuid() {
		return fmt.Errorf("the folder %s in the target belongs to user %d, and is to be root's: remove it", Own, uid)
	}
	return nil
}

func (o Options) rootOnly(mode fs.FileMode) tree.File {
	return tree.File{Mode: mode, UID: os.Geteuid(), GID: os.Getegid()}
}

// lock locks the target against other programs that unpack into it.
func lock(own *tree.Dir) (unlock func() error, err error) {
	f, err := own.OpenSelf()
	if err != nil {
		return nil, err
	}
	release, err := blockdev.Lock(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { return errors.Join(release(), f.Close()) }, nil
}

// stage unpacks the layers and checks the result for conflicts with the target.
func stage(ctx context.Context, image v1.Image, root *os.Root, o Options) (err error) {
	all, err := source.Layers(image, nil)
	if err != nil {
		return err
	}
	into, err := root.OpenRoot(staging)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	for _, l := range all {
		if err := newPass(into, o).run(ctx, l); err != nil {
			return fmt.Errorf("layer %s: %w", l.DiffID, err)
		}
	}
	return conflicts(root, into)
}

// maxConflicts is the number of conflicts that are reported.
const maxConflicts = 5

// conflicts returns an error for each directory of the target in the place of a
// file of the image, and the reverse.
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

// move renames the staged files into their places.
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

// makeDir makes a directory like the one in the image, unless it exists.
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

// keep writes the record after the files are on the medium.
func (o Options) keep(root *os.Root, own *tree.Dir, record, digest string) (err error) {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("syncing the target: %w", err)
	}
	f := o.rootOnly(0o600)
	f.Data = []byte(digest + "\n")
	return own.Write(record, f)
}
