// SPDX-License-Identifier: Apache-2.0

package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/source"
)

// member makes an entry from "NAME/" for a directory, "NAME=CONTENT", "NAME->TARGET"
// for a symbolic and "NAME=>TARGET" for a hard link, and "NAME!" for a device.
func member(entry string) (e testimage.Entry) {
	h := &e.Header
	h.Mode, h.Format = 0o750, tar.FormatPAX
	switch {
	case strings.Contains(entry, "->"):
		h.Typeflag = tar.TypeSymlink
		h.Name, h.Linkname, _ = strings.Cut(entry, "->")
	case strings.Contains(entry, "=>"):
		h.Typeflag = tar.TypeLink
		h.Name, h.Linkname, _ = strings.Cut(entry, "=>")
	case strings.HasSuffix(entry, "!"):
		h.Typeflag, h.Name = tar.TypeChar, strings.TrimSuffix(entry, "!")
	case strings.HasSuffix(entry, "/"):
		h.Typeflag, h.Name = tar.TypeDir, entry
	default:
		h.Typeflag = tar.TypeReg
		h.Name, e.Content, _ = strings.Cut(entry, "=")
	}
	return e
}

// image makes an image with a layer for each list of entries.
func image(t *testing.T, layers ...[]string) v1.Image {
	t.Helper()
	var members [][]testimage.Entry
	for _, entries := range layers {
		var layer []testimage.Entry
		for _, e := range entries {
			layer = append(layer, member(e))
		}
		members = append(members, layer)
	}
	out, err := testimage.Image(members...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// listing returns the entries below dir, without Own.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		switch {
		case name == Own:
			return fs.SkipDir
		case e.IsDir():
			out = append(out, name+"/")
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			out = append(out, name+"->"+target)
			return err
		default:
			data, err := os.ReadFile(path)
			out = append(out, name+"="+string(data))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func fill(t *testing.T, dir string, entries []string) {
	t.Helper()
	for _, e := range entries {
		m := member(e)
		h := &m.Header
		path := filepath.Join(dir, h.Name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch h.Typeflag {
		case tar.TypeDir:
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		case tar.TypeSymlink:
			err = errors.Join(err, os.Symlink(h.Linkname, path))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte(m.Content), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// open opens a target.
func open(t *testing.T, dir string) *tree.Dir {
	t.Helper()
	d, err := tree.Root{Dir: dir, KeepOwner: os.Geteuid() != 0}.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestImage(t *testing.T) {
	for _, c := range []struct {
		name   string
		there  []string
		layers [][]string
		want   []string
		err    string
	}{
		{"files", nil, [][]string{{"bin/", "bin/a=1", "b=2", "c->b", "d=>b"}}, []string{"b=2", "bin/", "bin/a=1", "c->b", "d=2"}, ""},
		{"without its parents", nil, [][]string{{"./x/y/z=1"}}, []string{"x/", "x/y/", "x/y/z=1"}, ""},
		{"an upper layer wins", nil, [][]string{{"a=1", "b/", "b/c=1"}, {"a=2", "b=2"}}, []string{"a=2", "b=2"}, ""},
		{"whiteouts", nil, [][]string{{"a=1", "b/", "b/c=1"}, {".wh.a=", "b/.wh.c=", "b/d=2"}}, []string{"b/", "b/d=2"}, ""},
		{"an opaque directory, behind its own files", nil, [][]string{{"a/", "a/old=1"}, {"a/new=2", "a/.wh..wh..opq="}}, []string{"a/", "a/new=2"}, ""},
		{"an opaque directory, behind files in an own subdirectory", nil, [][]string{{"a/", "a/sub/", "a/sub/old=1"}, {"a/sub/new=2", "a/.wh..wh..opq="}}, []string{"a/", "a/sub/", "a/sub/new=2"}, ""},
		{"a whiteout of an own directory", nil, [][]string{{"a/", "a/old=1", "a/sub/", "a/sub/old=1"}, {"a/", "a/sub/new=2", ".wh.a="}}, []string{"a/", "a/sub/", "a/sub/new=2"}, ""},
		{"an opaque directory without own files", nil, [][]string{{"a/", "a/sub/", "a/sub/old=1"}, {"a/.wh..wh..opq="}}, []string{"a/"}, ""},
		{"a whiteout does not reach the target", []string{"a=mine"}, [][]string{{".wh.a=", "b=1"}}, []string{"a=mine", "b=1"}, ""},
		{"over what is there", []string{"a=old", "own=mine", "d/", "d/own=mine"}, [][]string{{"a=new", "d/", "d/x=1"}}, []string{"a=new", "d/", "d/own=mine", "d/x=1", "own=mine"}, ""},
		{"a directory in the place of a file", []string{"a=old", "b=old"}, [][]string{{"b=new", "a/"}}, []string{"a=old", "b=old"}, "a is a file there, and a directory in the image"},
		{"a directory in the place of a link", []string{"x/", "a->x"}, [][]string{{"a/", "a/b=1"}}, []string{"a->x", "x/"}, "a is a link there, and a directory in the image"},
		{"a file in the place of a directory", []string{"a/", "a/own=mine"}, [][]string{{"a=1"}}, []string{"a/", "a/own=mine"}, "a is a directory there, and a file in the image"},
		{"out of the target", nil, [][]string{{"../a=1"}}, nil, `the name has a ".."`},
		{"an absolute name", nil, [][]string{{"/a=1"}}, []string{"a=1"}, ""},
		{"through a link", nil, [][]string{{"a->../.."}, {"a/b=1"}}, nil, "path escapes from parent"},
		{"through an absolute link", nil, [][]string{{"a->/tmp"}, {"a/b=1"}}, nil, "path escapes from parent"},
		{"a hard link out of the target", nil, [][]string{{"a=>../../etc/passwd"}}, nil, `the name has a ".."`},
		{"below its own link", nil, [][]string{{"a->b", "a/b=1"}}, nil, "something that is no directory at one of its parents"},
		{"a device", nil, [][]string{{"a!"}}, nil, "only files, directories and links are unpacked"},
		{"our folder", nil, [][]string{{Own + "/x=1"}}, nil, "which is ours"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, c.there)
			changed, err := Image(t.Context(), image(t, c.layers...), open(t, dir), Options{Ref: "x", KeepOwner: true})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || changed != (err == nil) {
				t.Errorf("changed %v, error %v, want %q", changed, err, c.err)
			}
			if diff := cmp.Diff(c.want, listing(t, dir)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
			if _, err := os.Stat(filepath.Join(dir, staging)); err == nil {
				t.Error("the staged files stay")
			}
		})
	}
}

// TestAgain: the same image is not unpacked again, but a different image is.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		image v1.Image
		want  bool
		ref   string
	}{
		{image(t, []string{"a=1"}), true, "x"},
		{image(t, []string{"a=1"}), false, "x"},
		{image(t, []string{"a=2", "b=2"}), true, "x"},
		{image(t, []string{"a=1"}), true, "x@sha256:1"},
		{image(t, []string{"a=2", "b=2"}), false, "x"},
	} {
		if changed, err := Image(t.Context(), c.image, open(t, dir), Options{Ref: c.ref, KeepOwner: true}); changed != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.ref, changed, err)
		}
	}
	if !Done(open(t, dir), "x@sha256:1") || Done(open(t, dir), "x") || Done(open(t, dir), "y@sha256:1") {
		t.Error("only an image that is named by its digest is known without a look at it")
	}
}

// broken is an image with a layer that does not match its digest.
type broken struct{ v1.Image }

func (b broken) Layers() ([]v1.Layer, error) {
	layers, err := b.Image.Layers()
	return []v1.Layer{brokenLayer{layers[0]}}, err
}

type brokenLayer struct{ v1.Layer }

func (l brokenLayer) Compressed() (io.ReadCloser, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := errors.Join(w.WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg}), w.Close())
	return io.NopCloser(&b), err
}

func TestAlteredLayer(t *testing.T) {
	dir := t.TempDir()
	_, err := Image(t.Context(), broken{image(t, []string{"a=1"})}, open(t, dir), Options{Ref: "x", KeepOwner: true})
	if err == nil || !strings.Contains(err.Error(), "nothing in the target was changed") || listing(t, dir) != nil {
		t.Errorf("%v, %v", err, listing(t, dir))
	}
}

// TestOwners needs root, because only root can change the owner of a file.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: the owners of files can only be tested by root")
	}
	img, err := testimage.Image([]testimage.Entry{
		{Header: tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o2750, Uid: 1000, Gid: 1001}},
		{Header: tar.Header{Name: "d/f", Typeflag: tar.TypeReg, Mode: 0o4755, Uid: 1000, Gid: 1001}},
		{Header: tar.Header{Name: "d/l", Typeflag: tar.TypeSymlink, Linkname: "f", Uid: 1000, Gid: 1001}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := Image(t.Context(), img, open(t, dir), Options{Ref: "x"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"d": fs.ModeDir | fs.ModeSetgid | 0o750, "d/f": fs.ModeSetuid | 0o755, "d/l": fs.ModeSymlink | 0o777} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*unixStat); info.Mode() != want || st.Uid != 1000 || st.Gid != 1001 {
			t.Errorf("%s: %v of %d:%d, want %v of 1000:1001", name, info.Mode(), st.Uid, st.Gid, want)
		}
	}
}

// TestHostileTarget: the target may belong to a user. A pipe in our folder does not
// block the agent, and a link in the place of our folder is refused.
func TestHostileTarget(t *testing.T) {
	dir, ref := t.TempDir(), "x@sha256:1"
	img := image(t, []string{"a=1"})
	target := open(t, dir)
	pipe := filepath.Join(dir, Own, recordOf(ref))
	if err := errors.Join(os.Mkdir(filepath.Join(dir, Own), 0o700), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		if Done(target, ref) {
			t.Error("a pipe is a record")
		}
		_, err := Image(t.Context(), img, target, Options{Ref: ref, KeepOwner: true})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil || !Done(target, ref) {
			t.Errorf("done %v, %v", Done(target, ref), err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the agent waits for a pipe")
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, Own)), os.Symlink("/etc", filepath.Join(dir, Own))); err != nil {
		t.Fatal(err)
	}
	if _, err := Image(t.Context(), img, target, Options{Ref: ref, KeepOwner: true}); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a link in the place of our folder: %v", err)
	}
}

// TestAgainstUnpacking: the result equals that of a plain unpacker.
func TestAgainstUnpacking(t *testing.T) {
	for seed := range uint64(100) {
		random := layerstest.Random(seed)
		var members [][]testimage.Entry
		for _, l := range random {
			var to []testimage.Entry
			for _, e := range l {
				m := testimage.Entry{Header: *e.Header()}
				if e.Type == tar.TypeReg {
					m.Content = e.Body
				}
				to = append(to, m)
			}
			members = append(members, to)
		}
		img, err := testimage.Image(members...)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		all, err := source.Layers(img, nil)
		for _, l := range all {
			err = errors.Join(err, newPass(root, Options{KeepOwner: true}).run(t.Context(), l))
		}
		if err := errors.Join(err, root.Close()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(layerstest.Unpack(random).Lines(), lines(t, dir)); diff != "" {
			t.Fatalf("seed %d: -plain +unpacked\n%s", seed, diff)
		}
	}
}

// lines describes a target as layerstest does.
func lines(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	top := filepath.Join(dir, layerstest.Dir)
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == top {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		kind, body := byte(tar.TypeReg), []byte(nil)
		switch {
		case e.IsDir():
			kind = tar.TypeDir
		case e.Type()&fs.ModeSymlink != 0:
			kind = tar.TypeSymlink
			var target string
			target, err = os.Readlink(path)
			body = []byte(target)
		default:
			body, err = os.ReadFile(path)
		}
		name := strings.TrimPrefix(path, dir+"/")
		out[name] = layerstest.Line(kind, int64(info.Mode().Perm()), string(body), int(info.Sys().(*unixStat).Nlink))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
