// SPDX-License-Identifier: Apache-2.0

package netboot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// FormatVersion is the version of netboot.json. It changes only when a field changes its
// meaning or goes away.
const FormatVersion = 1

// A Manifest is the content of netboot.json.
type Manifest struct {
	Format int       `json:"format"`
	Image  Facts     `json:"image"`
	Files  []Written `json:"files"`
	// Dir is the folder, relative to a build's; netboot.json itself does not have it.
	Dir string `json:"path,omitempty"`
}

// MemoryMiB is how much memory a machine needs to boot these files.
func (m Manifest) MemoryMiB() int {
	for _, f := range m.Files {
		if f.Path == Live {
			return memoryMiB(f.Size)
		}
	}
	return memoryMiB(0)
}

// A Written is one file of the folder.
type Written struct {
	Path   string `json:"path"` // relative, slash-separated
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Write writes the files into the folder dir, which it makes. progress takes the bytes
// done and their total. netboot.json comes last: a folder without it is not complete. An
// error of the file system says what to do.
func (b *Boot) Write(ctx context.Context, dir string, progress func(done, total int64)) (Manifest, error) {
	files := append(append([]File{}, b.Files...), InMemory(Script, b.IPXE("")), InMemory(GRUBConfig, b.GRUBConfig("")))
	m := Manifest{Format: FormatVersion, Image: b.Facts}
	c := &copier{ctx: ctx, dir: dir, tell: progress}
	for _, f := range files {
		c.total += f.Size
	}
	if err := c.checkRoom(); err != nil {
		return m, err
	}
	for _, f := range files {
		sum, err := c.copy(f)
		if err != nil {
			return m, explain(dir, err, c.total)
		}
		m.Files = append(m.Files, Written{f.Path, f.Size, sum})
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	return m, os.WriteFile(filepath.Join(dir, ManifestName), append(data, '\n'), 0o644)
}

// explain says what to do about an error of the file system.
func explain(dir string, err error, total int64) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; the files need %d MiB in %q: free some, or choose another folder", err, total>>20+1, dir)
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; choose a folder that you may write to", err)
	}
	return err
}

// A copier writes files into a folder.
type copier struct {
	ctx         context.Context
	dir         string
	done, total int64
	tell        func(done, total int64)
}

// checkRoom refuses a file system that has too little room, before anything is written.
func (c *copier) checkRoom() error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return explain(c.dir, err, c.total)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(c.dir, &st); err != nil {
		return &os.PathError{Op: "statfs", Path: c.dir, Err: err}
	}
	if free := int64(st.Bavail) * st.Bsize; free < c.total {
		return explain(c.dir, fmt.Errorf("%q has %d MiB free: %w", c.dir, free>>20, syscall.ENOSPC), c.total)
	}
	return nil
}

func (c *copier) copy(f File) (sum string, err error) {
	path := filepath.Join(c.dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, f.mode())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	hash := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(out, hash, c), io.NewSectionReader(f.Data, 0, f.Size), make([]byte, 1<<20))
	return hex.EncodeToString(hash.Sum(nil)), err
}

// mode: cloud-configs may hold secrets.
func (f File) mode() os.FileMode {
	if f.Path == Config {
		return 0o600
	}
	return 0o644
}

// Write counts what was copied, and ends a copy when the context ends.
func (c *copier) Write(b []byte) (int, error) {
	c.done += int64(len(b))
	c.tell(c.done, c.total)
	return len(b), c.ctx.Err()
}
