// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/folder"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// rootsKept is how many root images the state folder keeps.
const rootsKept = 3

// rootFormat is part of a root image's key. It must change when the writer writes
// other bytes.
const rootFormat = 1

// A rootStore keeps root images by the layers that they were made from: <key>.img
// with the bytes, and <key>.gob with the slotimage.Image.
type rootStore struct{ dir string }

// A rootImage is a root image on disk.
type rootImage struct {
	image  *slotimage.Image
	path   string
	record map[string]string // annotations for the OCI image that it was made from
}

// read opens the files of a root image for use.
func (r *rootImage) read(use func(fs.FS) error) (err error) {
	f, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	files, err := rootimage.Open(f)
	if err != nil {
		return err
	}
	return use(files)
}

func openRoots(stateDir string) (*rootStore, error) {
	dir := filepath.Join(stateDir, "roots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("opening the store of root images: %w", err)
	}
	return &rootStore{dir}, nil
}

// make returns the root image of layers; cached reports that it was in the store. A
// cached root image is verified against its root hash.
func (s *rootStore) make(ctx context.Context, layers []slotimage.Layer) (root *rootImage, cached bool, err error) {
	base := filepath.Join(s.dir, rootKey(layers))
	if root, err := load(ctx, base); err == nil {
		return root, true, nil
	}
	image, err := write(ctx, base, layers)
	if err != nil {
		return nil, false, err
	}
	return &rootImage{image: image, path: base + ".img"}, false, s.collect()
}

func rootKey(layers []slotimage.Layer) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "root image %d\n", rootFormat)
	for _, layer := range layers {
		fmt.Fprintln(sum, layer.DiffID)
	}
	if root := slotimage.RootFormat(layers); root != layout.EROFS {
		fmt.Fprintln(sum, root)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

func load(ctx context.Context, base string) (*rootImage, error) {
	f, err := os.Open(base + ".gob")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	image := &slotimage.Image{}
	if err := gob.NewDecoder(f).Decode(image); err != nil {
		return nil, err
	}
	data, err := os.Open(base + ".img")
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if err := verity.Verify(ctx, data, image.Tree); err != nil {
		return nil, err
	}
	now := time.Now()
	return &rootImage{image: image, path: base + ".img"}, os.Chtimes(base+".img", now, now)
}

// write makes both files by rename, the .gob last: its presence means that the .img
// is complete.
func write(ctx context.Context, base string, layers []slotimage.Layer) (_ *slotimage.Image, err error) {
	tmp := fmt.Sprintf("%s.%d", base, os.Getpid())
	f, err := os.Create(tmp + ".img")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, removeIfThere(tmp+".img"), removeIfThere(tmp+".gob")) }()
	image, err := slotimage.Write(ctx, f, layers, slotLoader{})
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := writeGob(tmp+".gob", image); err != nil {
		return nil, err
	}
	return image, errors.Join(os.Rename(tmp+".img", base+".img"), os.Rename(tmp+".gob", base+".gob"))
}

func writeGob(path string, v any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(gob.NewEncoder(f).Encode(v), f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// collect removes all root images but the rootsKept that were used last.
func (s *rootStore) collect() error {
	paths, err := folder.Glob(s.dir, "*.img")
	if err != nil || len(paths) <= rootsKept {
		return err
	}
	used := map[string]time.Time{}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			used[path] = info.ModTime()
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return used[b].Compare(used[a]) })
	for _, path := range paths[rootsKept:] {
		gobPath := path[:len(path)-len(".img")] + ".gob"
		if err := errors.Join(removeIfThere(gobPath), removeIfThere(path)); err != nil {
			return err
		}
	}
	return nil
}
