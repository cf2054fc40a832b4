// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A control is the control archive of a package.
type control struct {
	text  string // its file control
	files []file // the others
}

// A file is a member of a tar.
type file struct {
	header *tar.Header
	data   []byte
}

// readControl reads the control archive of a .deb.
func readControl(ctx context.Context, deb string) (c control, err error) {
	err = each(ctx, deb, "--ctrl-tarfile", func(f file) error {
		switch path.Clean(f.header.Name) {
		case ".":
		case "control":
			c.text = string(f.data)
		case "md5sums": // of files that may change
		default:
			c.files = append(c.files, f)
		}
		return nil
	})
	return c, err
}

// each calls do with each member of one of the tars of a .deb. dpkg-deb decompresses it.
func each(ctx context.Context, deb, which string, do func(file) error) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", which, deb)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = members(out, do)
	if err == nil {
		_, err = io.Copy(io.Discard, out) // the padding at the end
	}
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("dpkg-deb %s %s: %w: %s", which, deb, err, complaint.String())
	}
	return nil
}

func members(r io.Reader, do func(file) error) error {
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(in)
		if err == nil {
			err = do(file{h, data})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// A tarball is a tar that is compressed with zstd while it is written.
type tarball struct {
	packed bytes.Buffer
	zst    *zstd.Encoder
	tar    *tar.Writer
	dirs   map[string]bool
	size   int64 // of the files
}

func newTarball() (*tarball, error) {
	t := &tarball{dirs: map[string]bool{}}
	var err error
	t.zst, err = zstd.NewWriter(&t.packed, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	t.tar = tar.NewWriter(t.zst)
	return t, err
}

// add adds a file below its folders. A folder that is there stays as it is.
func (t *tarball) add(f file) error {
	name := path.Clean(f.header.Name)
	if t.dirs[name] && f.header.Typeflag == tar.TypeDir {
		return nil
	}
	if name != "." {
		if err := t.parents(path.Dir(name), f.header.ModTime); err != nil {
			return err
		}
	}
	h := *f.header
	if h.Name = "./"; name != "." {
		h.Name += name
	}
	h.Size, h.Format, h.PAXRecords = int64(len(f.data)), tar.FormatGNU, nil
	if h.Typeflag == tar.TypeDir {
		t.dirs[name] = true
		h.Name = strings.TrimSuffix(h.Name, "/") + "/"
	}
	t.size += h.Size
	if err := t.tar.WriteHeader(&h); err != nil {
		return err
	}
	_, err := t.tar.Write(f.data)
	return err
}

func (t *tarball) parents(dir string, at time.Time) error {
	if t.dirs[dir] {
		return nil
	}
	return t.add(file{header: &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: at}})
}

// bytes ends the tarball.
func (t *tarball) bytes() ([]byte, error) {
	err := errors.Join(t.tar.Close(), t.zst.Close())
	return t.packed.Bytes(), err
}

// writeDeb is a .deb of format 2.0 (deb(5)) with members that are compressed with zstd, as
// Ubuntu's are. at is the time of its members.
func writeDeb(c control, data *tarball, at time.Time) ([]byte, error) {
	ctrl, err := newTarball()
	if err != nil {
		return nil, err
	}
	text := file{&tar.Header{Typeflag: tar.TypeReg, Name: "control", Mode: 0o644, ModTime: at}, []byte(c.text)}
	for _, f := range append([]file{text}, c.files...) {
		if err := ctrl.add(f); err != nil {
			return nil, err
		}
	}
	packed, err := ctrl.bytes()
	if err != nil {
		return nil, err
	}
	body, err := data.bytes()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.zst", packed}, {"data.tar.zst", body}} {
		fmt.Fprintf(&out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, at.Unix(), 0, 0, "100644", len(m.data))
		out.Write(m.data)
		out.WriteString(strings.Repeat("\n", len(m.data)%2))
	}
	return out.Bytes(), nil
}
