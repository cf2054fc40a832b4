// SPDX-License-Identifier: Apache-2.0

package persist

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/treecopy"
)

// A lab is one persistent path, /p, with the image's side and the stored side.
type lab struct {
	dir  string
	hash string
}

func (l lab) path() Path {
	return Path{Name: "/p", Image: filepath.Join(l.dir, "image"), Store: filepath.Join(l.dir, "state/p.bind")}
}

func (l lab) sync() Sync {
	return Sync{Dir: filepath.Join(l.dir, "state"), RootHash: l.hash, flush: func(string) error { return nil }}
}

// newLab returns a node after its first boot from an image with these files.
func newLab(t *testing.T, image files) lab {
	t.Helper()
	l := lab{dir: t.TempDir()}
	l.setImage(t, "A", image)
	must(t, os.MkdirAll(filepath.Join(l.dir, "state"), 0o755))
	must(t, treecopy.Copy(l.path().Image, l.path().Store))
	first := l.path()
	first.New = true
	if _, err := l.sync().Run([]Path{first}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) setImage(t *testing.T, hash string, image files) {
	t.Helper()
	l.hash = hash
	image.write(t, l.path().Image)
}

func (l lab) run(t *testing.T) Report {
	t.Helper()
	r, err := l.sync().Run([]Path{l.path()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (l lab) stored(t *testing.T) files { return readFiles(t, l.path().Store) }

// files are a directory in short: "d" or "d:700" is a directory, ">x" a link to
// x, "text" or "text:600" a file.
type files map[string]string

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	must(t, os.RemoveAll(dir))
	must(t, os.MkdirAll(dir, 0o755))
	for _, rel := range sortedKeys(f) {
		path := filepath.Join(dir, rel)
		text, mode := parse(f[rel])
		switch {
		case text == "d":
			must(t, os.Mkdir(path, 0o755))
			must(t, os.Chmod(path, mode|0o100))
		case strings.HasPrefix(text, ">"):
			must(t, os.Symlink(text[1:], path))
		default:
			must(t, os.WriteFile(path, []byte(text), 0o644))
			must(t, os.Chmod(path, mode&^0o111))
		}
	}
}

func TestRule(t *testing.T) {
	tests := []struct {
		name                string
		base, ours, theirs  files
		want                files
		kept                map[string]string
		local               []string
		changed, added, rem int
	}{
		{name: "nothing changed", base: files{"a": "1"}, ours: files{"a": "1"}, theirs: files{"a": "1"}, want: files{"a": "1"}},
		{name: "the image changed", base: files{"a": "1"}, ours: files{"a": "1"}, theirs: files{"a": "2"}, want: files{"a": "2"}, changed: 1},
		{name: "the image changed, same size other mode", base: files{"a": "1"}, ours: files{"a": "1"}, theirs: files{"a": "1:600"}, want: files{"a": "1:600"}, changed: 1},
		{name: "the image removed", base: files{"a": "1", "b": "2"}, ours: files{"a": "1", "b": "2"}, theirs: files{"b": "2"}, want: files{"b": "2"}, rem: 1},
		{name: "the image added", base: files{}, ours: files{}, theirs: files{"d": "d", "d/a": "1"}, want: files{"d": "d", "d/a": "1"}, added: 2},
		{name: "changed here", base: files{"a": "1"}, ours: files{"a": "x"}, theirs: files{"a": "1"}, want: files{"a": "x"}, local: []string{"/p/a"}},
		{name: "changed here and there", base: files{"a": "1"}, ours: files{"a": "x"}, theirs: files{"a": "2"}, want: files{"a": "x"}, kept: map[string]string{"/p/a": whyBoth}},
		{name: "changed alike", base: files{"a": "1"}, ours: files{"a": "2"}, theirs: files{"a": "2"}, want: files{"a": "2"}},
		{name: "changed here, removed there", base: files{"a": "1"}, ours: files{"a": "x"}, theirs: files{}, want: files{"a": "x"}, kept: map[string]string{"/p/a": whyRemoved}},
		{name: "deleted here", base: files{"a": "1"}, ours: files{}, theirs: files{"a": "1"}, want: files{}, local: []string{"/p/a"}},
		{name: "deleted here, changed there", base: files{"a": "1"}, ours: files{}, theirs: files{"a": "2"}, want: files{}, kept: map[string]string{"/p/a": whyDeleted}},
		{name: "deleted in both", base: files{"a": "1"}, ours: files{}, theirs: files{}, want: files{}},
		{name: "made here, new there", base: files{}, ours: files{"a": "x"}, theirs: files{"a": "1"}, want: files{"a": "x"}, kept: map[string]string{"/p/a": whyMade}},
		{name: "data of the user", base: files{}, ours: files{"u": "d:700", "u/a": "x"}, theirs: files{}, want: files{"u": "d:700", "u/a": "x"}},
		{name: "a directory goes", base: files{"d": "d", "d/a": "1"}, ours: files{"d": "d", "d/a": "1"}, theirs: files{}, want: files{}, rem: 2},
		{name: "a directory goes and is not empty", base: files{"d": "d", "d/a": "1"}, ours: files{"d": "d", "d/a": "1", "d/u": "x"}, theirs: files{}, want: files{"d": "d", "d/u": "x"}, kept: map[string]string{"/p/d": whyNotEmpty}, rem: 1},
		{name: "a directory's mode", base: files{"d": "d"}, ours: files{"d": "d", "d/u": "x"}, theirs: files{"d": "d:700"}, want: files{"d": "d:700", "d/u": "x"}, changed: 1},
		{name: "a directory's mode, here too", base: files{"d": "d"}, ours: files{"d": "d:750"}, theirs: files{"d": "d:700"}, want: files{"d": "d:750"}, kept: map[string]string{"/p/d": whyMode}},
		{name: "a directory deleted here, with news in it", base: files{"d": "d", "d/a": "1"}, ours: files{}, theirs: files{"d": "d", "d/a": "1", "d/b": "2"}, want: files{}, local: []string{"/p/d"}, kept: map[string]string{"/p/d/b": whyParent}},
		{name: "a link turns", base: files{"l": ">a"}, ours: files{"l": ">a"}, theirs: files{"l": ">b"}, want: files{"l": ">b"}, changed: 1},
		{name: "a link turned here", base: files{"l": ">a"}, ours: files{"l": ">u"}, theirs: files{"l": ">a"}, want: files{"l": ">u"}, local: []string{"/p/l"}},
		{name: "a file becomes a directory", base: files{"a": "1"}, ours: files{"a": "1"}, theirs: files{"a": "d", "a/b": "2"}, want: files{"a": "d", "a/b": "2"}, changed: 1, added: 1},
		{name: "a directory becomes a file", base: files{"a": "d", "a/b": "2"}, ours: files{"a": "d", "a/b": "2"}, theirs: files{"a": "1"}, want: files{"a": "1"}, changed: 1, rem: 1},
		{name: "a directory with more in it becomes a file", base: files{"a": "d"}, ours: files{"a": "d", "a/u": "x"}, theirs: files{"a": "1"}, want: files{"a": "d", "a/u": "x"}, kept: map[string]string{"/p/a": whyNotEmpty}},
		{name: "a directory became a link here", base: files{"d": "d", "d/a": "1", "e": "d", "e/a": "1"}, ours: files{"d": ">e", "e": "d", "e/a": "1"}, theirs: files{"d": "d", "e": "d", "e/a": "1"}, want: files{"d": ">e", "e": "d", "e/a": "1"}, local: []string{"/p/d"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, test.base)
			test.ours.write(t, l.path().Store)
			l.setImage(t, "B", test.theirs)
			want := Report{RootHash: "B", Changed: test.changed, Added: test.added, Removed: test.rem, Kept: []Kept{}, Local: []string{}}
			for _, name := range sortedKeys(test.kept) {
				want.Kept = append(want.Kept, Kept{name, test.kept[name]})
			}
			want.Local = append(want.Local, test.local...)
			if diff := cmp.Diff(want, l.run(t)); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, l.stored(t)); diff != "" {
				t.Errorf("stored files (-want +got):\n%s", diff)
			}
			want.Changed, want.Added, want.Removed = 0, 0, 0
			if diff := cmp.Diff(want, l.run(t)); diff != "" {
				t.Errorf("report of the next boot (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThereAndBack(t *testing.T) {
	a := files{"a": "1", "d": "d", "d/b": "2", "gone": ">a", "mine": "1", "t": "d", "t/x": "1"}
	b := files{"a": "11:600", "new": "d", "new/c": "3", "mine": "2", "t": "file"}
	l := newLab(t, a)
	must(t, os.WriteFile(filepath.Join(l.path().Store, "mine"), []byte("local"), 0o644))
	l.setImage(t, "B", b)
	l.run(t)
	l.setImage(t, "A", a)
	r := l.run(t)
	want := files{"a": "1", "d": "d", "d/b": "2", "gone": ">a", "mine": "local", "t": "d", "t/x": "1"}
	if diff := cmp.Diff(want, l.stored(t)); diff != "" {
		t.Errorf("stored files after A, B, A (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Kept{{"/p/mine", whyBoth}}, r.Kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

func TestKeptIsForgottenWhenSettled(t *testing.T) {
	l := newLab(t, files{"a": "1", "b": "1", "c": "1", "d": "1"})
	files{"a": "x", "b": "x", "c": "x"}.write(t, l.path().Store)
	l.setImage(t, "B", files{"a": "2", "b": "2", "c": "1", "d": "1"})
	l.run(t)
	files{"a": "2", "b": "x", "c": "1"}.write(t, l.path().Store)
	r := l.run(t)
	if diff := cmp.Diff([]Kept{{"/p/b", whyBoth}}, r.Kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/p/d"}, r.Local); diff != "" {
		t.Errorf("local (-want +got):\n%s", diff)
	}
}

func TestManifestDamaged(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(data []byte) []byte
		want   error
	}{
		{"missing", func([]byte) []byte { return nil }, nil},
		{"cut short", func(d []byte) []byte { return d[:len(d)/2] }, ErrManifest},
		{"a hash changed", func(d []byte) []byte { return []byte(strings.Replace(string(d), `"size":1`, `"size":2`, 1)) }, ErrManifest},
		{"another version", func(d []byte) []byte { return []byte(strings.Replace(string(d), `"version":1`, `"version":9`, 1)) }, ErrManifest},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, files{"a": "1", "b": "1"})
			name := filepath.Join(l.sync().Dir, ManifestName)
			data, err := os.ReadFile(name)
			must(t, err)
			must(t, os.Remove(name))
			if data = c.damage(data); data != nil {
				must(t, os.WriteFile(name, data, 0o600))
			}
			l.setImage(t, "B", files{"a": "2", "c": "3"})
			r, err := l.sync().Run([]Path{l.path()})
			if !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
			if diff := cmp.Diff([]Kept{{"/p/a", whyMade}}, r.Kept); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(files{"a": "1", "b": "1", "c": "3"}, l.stored(t)); diff != "" {
				t.Errorf("stored files (-want +got):\n%s", diff)
			}
			if r := l.run(t); r.Changed+r.Added+r.Removed != 0 {
				t.Errorf("the next boot changed something: %+v", r)
			}
		})
	}
}

func TestManifestThatLeadsOut(t *testing.T) {
	for _, rel := range []string{"../x", "/x", "a//b", ""} {
		data, err := manifest{"/p": {Entries: Tree{rel: {Kind: KindFile}}}}.encode()
		must(t, err)
		if _, err := decodeManifest(data); !errors.Is(err, ErrManifest) {
			t.Errorf("entry %q: got error %v, want %v", rel, err, ErrManifest)
		}
	}
}

func TestOnePathFails(t *testing.T) {
	l := newLab(t, files{"a": "1"})
	l.setImage(t, "B", files{"a": "2"})
	missing := Path{Name: "/q", Image: filepath.Join(l.dir, "nothing"), Store: filepath.Join(l.dir, "state/q.bind")}
	r, err := l.sync().Run([]Path{missing, l.path()})
	if err == nil || !strings.Contains(err.Error(), "/q stays as it is: reading the image") {
		t.Errorf("got error %v", err)
	}
	if r.Changed != 1 {
		t.Errorf("the other path: %+v", r)
	}
}

func TestStagingIsCleared(t *testing.T) {
	l := newLab(t, files{"a": "1"})
	old := filepath.Join(l.sync().Dir, stagingName, "0-0")
	must(t, os.MkdirAll(filepath.Join(old, "x"), 0o755))
	l.setImage(t, "B", files{"a": "2"})
	l.run(t)
	if _, err := os.Lstat(filepath.Dir(old)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was staged is still there: %v", err)
	}
	if diff := cmp.Diff(files{"a": "2"}, l.stored(t)); diff != "" {
		t.Errorf("stored files (-want +got):\n%s", diff)
	}
}

func TestReportRoundTrip(t *testing.T) {
	want := Report{RootHash: "00", Changed: 1, Added: 2, Removed: 3, Kept: []Kept{{"/p/a", whyBoth}}, Local: []string{"/p/b"}, Milliseconds: 1.5}
	name := filepath.Join(t.TempDir(), "run/kairos/persistent.json")
	must(t, want.Write(name))
	data, err := os.ReadFile(name)
	must(t, err)
	got, err := DecodeReport(data)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	data, err := manifest{"/p": {RootHash: "A", Entries: Tree{".": {Kind: KindDir, Mode: 0o755}}}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			return
		}
		again, err := m.encode()
		must(t, err)
		if got, err := decodeManifest(again); err != nil || !cmp.Equal(m, got) {
			t.Errorf("got %+v, %v; want %+v", got, err, m)
		}
	})
}
