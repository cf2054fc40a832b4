// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"
	"github.com/google/go-cmp/cmp"
)

// A model applies layers the other way round, from the bottom up, as an
// unpacker does: it is what Write must agree with.
type model map[string]*modelFile

type modelFile struct {
	flag byte
	body string
	mode int64
}

func (m model) apply(rows []row) {
	for _, r := range rows {
		if base := path.Base(r.name); base == opaqueMarker {
			m.remove(path.Dir(r.name), true)
		} else if after, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
			m.remove(path.Join(path.Dir(r.name), after), false)
		}
	}
	for _, r := range rows {
		if strings.HasPrefix(path.Base(r.name), whiteoutPrefix) {
			continue
		}
		m.put(r)
	}
}

func (m model) put(r row) {
	f := &modelFile{flag: r.flag, body: r.body, mode: r.header().Mode}
	if r.flag == tar.TypeLink {
		f = m[r.body]
	}
	if old := m[r.name]; old != nil && (old.flag != tar.TypeDir || f.flag != tar.TypeDir) {
		m.remove(r.name, false)
	}
	m[r.name] = f
}

func (m model) remove(name string, keepSelf bool) {
	for p := range m {
		if strings.HasPrefix(p, name+"/") || p == name && !keepSelf || name == "." {
			delete(m, p)
		}
	}
}

// lines is the model in the form of tree, for what the model knows.
func (m model) lines() map[string]string {
	lines := map[string]string{}
	links := map[*modelFile]int{}
	for _, f := range m {
		links[f]++
	}
	for p, f := range m {
		if !strings.HasPrefix(p, "d/") && p != "d" {
			continue
		}
		lines[p] = fmt.Sprintf("%c %o %q", f.flag, f.mode, f.body)
		if f.flag != tar.TypeDir {
			lines[p] += fmt.Sprintf(" %d", links[f])
		}
	}
	return lines
}

// randomLayers makes layers of few names, so that they meet often. Every
// directory has an entry, and no layer has two entries for one path.
func randomLayers(seed uint64, layers, entries int) [][]row {
	rnd := rand.New(rand.NewPCG(seed, 7))
	below, result := model{}, [][]row{base()}
	below.apply(base())
	for n := range layers {
		rows := randomLayer(rnd, n, entries, below)
		below.apply(rows)
		result = append(result, rows)
	}
	return result
}

func randomLayer(rnd *rand.Rand, n, entries int, below model) []row {
	var rows []row
	here := map[string]byte{} // what the layer itself has
	var files []string
	for i := range entries {
		name := "d"
		for range 1 + rnd.IntN(3) {
			name = path.Join(name, string(rune('a'+rnd.IntN(4))))
		}
		if !parents(name, here, &rows) || here[name] != 0 {
			continue
		}
		switch kind := rnd.IntN(12); {
		case kind < 2:
			rows = append(rows, dir(name).with(func(h *tar.Header) { h.Mode = int64(0o700 + n) }))
			here[name] = tar.TypeDir
		case kind < 4:
			rows = append(rows, file(path.Join(path.Dir(name), whiteoutPrefix+path.Base(name)), ""))
		case kind == 4:
			rows = append(rows, file(path.Join(path.Dir(name), opaqueMarker), ""))
		case kind < 7 && len(files) > 0:
			rows = append(rows, hardlink(name, files[rnd.IntN(len(files))]))
			here[name] = tar.TypeLink
			files = append(files, name)
		case kind == 7:
			rows = append(rows, symlink(name, fmt.Sprintf("to-%d-%d", n, i)))
			here[name] = tar.TypeSymlink
			files = append(files, name)
		default:
			rows = append(rows, file(name, fmt.Sprintf("layer %d entry %d %s", n, i, strings.Repeat("x", rnd.IntN(60)))))
			here[name] = tar.TypeReg
			files = append(files, name)
		}
	}
	if target := lowerTarget(rnd, rows, below); target != "" && here["d/low"] == 0 && parents("d/low", here, &rows) {
		rows = append(rows, hardlink("d/low", target))
	}
	return rows
}

// parents adds missing directories of name; it fails if one is no directory.
func parents(name string, here map[string]byte, rows *[]row) bool {
	for at, part := "", strings.Split(path.Dir(name), "/"); len(part) > 0; part = part[1:] {
		at = path.Join(at, part[0])
		if here[at] == 0 {
			here[at] = tar.TypeDir
			*rows = append(*rows, dir(at))
		}
		if here[at] != tar.TypeDir {
			return false
		}
	}
	return true
}

// lowerTarget is a file that only lower layers have, for a link across layers.
func lowerTarget(rnd *rand.Rand, rows []row, below model) string {
	after := maps.Clone(below)
	after.apply(rows)
	var targets []string
	for p, f := range below {
		if f.flag != tar.TypeDir && after[p] == f && strings.HasPrefix(p, "d/") && p != "d/low" {
			targets = append(targets, p)
		}
	}
	slices.Sort(targets)
	if len(targets) == 0 {
		return ""
	}
	return targets[rnd.IntN(len(targets))]
}

func TestAgainstUnpackingBottomUp(t *testing.T) {
	for seed := range uint64(400) {
		layers := randomLayers(seed, 1+int(seed%6), 5+int(seed%40))
		want := model{}
		for _, rows := range layers {
			want.apply(rows)
		}
		f := tempFile(t)
		if _, err := Write(t.Context(), f, layersOf(t, layers)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want.lines(), imageLines(t, f)); diff != "" {
			t.Fatalf("seed %d: -unpacked +image\n%s", seed, diff)
		}
		f.Close()
	}
}

// imageLines is what lines knows, read from an image.
func imageLines(t *testing.T, r io.ReaderAt) map[string]string {
	t.Helper()
	img, err := goerofs.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	err = fs.WalkDir(img, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(p, "d/") && p != "d" {
			return err
		}
		fi, err := fs.Lstat(img, p)
		if err != nil {
			return err
		}
		st := fi.Sys().(*goerofs.Stat)
		body, err := contentOf(img, p, st)
		flag := map[fs.FileMode]byte{0: tar.TypeReg, fs.ModeDir: tar.TypeDir, fs.ModeSymlink: tar.TypeSymlink}[st.Mode.Type()]
		lines[p] = fmt.Sprintf("%c %o %q", flag, st.Mode.Perm(), body)
		if flag != tar.TypeDir {
			lines[p] += fmt.Sprintf(" %d", st.Nlink)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestSplitIsTheSameTree: how a tree is cut into layers does not show.
func TestSplitIsTheSameTree(t *testing.T) {
	rows := append(base(), dir("d"), file("d/a", "1"), file("d/b", strings.Repeat("b", 9000)), symlink("d/l", "a"), hardlink("d/h", "d/b"),
		dir("e").with(func(h *tar.Header) { h.Mode = 0o700 }), file("e/x", "x"), file("e/y", "y"))
	whole := tempFile(t)
	if _, err := Write(t.Context(), whole, layersOf(t, [][]row{rows})); err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(rows); cut++ {
		f := tempFile(t)
		if _, err := Write(t.Context(), f, layersOf(t, [][]row{rows[:cut], rows[cut:]})); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if diff := cmp.Diff(tree(t, whole), tree(t, f)); diff != "" {
			t.Errorf("cut at %d: -whole +split\n%s", cut, diff)
		}
	}
}
