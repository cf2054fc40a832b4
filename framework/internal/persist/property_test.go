// SPDX-License-Identifier: Apache-2.0

package persist

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/treecopy"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// parse splits "text:600"; the mode is 755 without one.
func parse(spec string) (text string, mode fs.FileMode) {
	text, octal, ok := strings.Cut(spec, ":")
	if !ok {
		return text, 0o755
	}
	n, err := strconv.ParseUint(octal, 8, 32)
	if err != nil {
		panic("BUG: " + spec)
	}
	return text, fs.FileMode(n)
}

func readFiles(t *testing.T, dir string) files {
	t.Helper()
	f := files{}
	must(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		must(t, err)
		f[rel] = describe(t, name)
		return nil
	}))
	return f
}

func describe(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Lstat(name)
	must(t, err)
	suffix := func(usual fs.FileMode) string {
		if info.Mode().Perm() == usual {
			return ""
		}
		return fmt.Sprintf(":%o", info.Mode().Perm())
	}
	switch {
	case info.IsDir():
		return "d" + suffix(0o755)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		must(t, err)
		return ">" + target
	}
	data, err := os.ReadFile(name)
	must(t, err)
	return string(data) + suffix(0o644)
}

// randomFiles makes a small tree with few names, so that trees collide.
func randomFiles(r *rand.Rand) files {
	f := files{}
	f.grow(r, "", 0)
	return f
}

func (f files) grow(r *rand.Rand, dir string, depth int) {
	for _, name := range []string{"a", "b", "c"} {
		if r.IntN(3) > 0 {
			f.set(r, path.Join(dir, name), depth)
		}
	}
}

func (f files) set(r *rand.Rand, rel string, depth int) {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	switch k := r.IntN(4); {
	case k == 0:
		f[rel] = pick(">a", ">b", ">../a")
	case k == 1 && depth < 2:
		f[rel] = pick("d", "d:700")
		f.grow(r, rel, depth+1)
	default:
		f[rel] = pick("1", "2", "22", "1:600")
	}
}

// mutated changes, removes and adds a few entries.
func (f files) mutated(r *rand.Rand) files {
	out := maps.Clone(f)
	for _, rel := range sortedKeys(f) {
		if _, still := out[rel]; !still || r.IntN(4) > 0 {
			continue
		}
		if text, _ := parse(out[rel]); text == "d" && r.IntN(2) == 0 {
			out[rel] = []string{"d", "d:700", "d:750"}[r.IntN(3)]
			continue
		}
		maps.DeleteFunc(out, func(at, _ string) bool { return at == rel || strings.HasPrefix(at, rel+"/") })
		if r.IntN(2) == 0 {
			out.set(r, rel, strings.Count(rel, "/"))
		}
	}
	if r.IntN(3) == 0 {
		out["mine"] = "x"
	}
	return out
}

func isDirSpec(spec string) bool { text, _ := parse(spec); return text == "d" }

// checkMerge checks the result of a merge of these trees against the rule.
func checkMerge(base, ours, theirs, got files, r Report) error {
	kept := map[string]bool{}
	for _, k := range r.Kept {
		kept[strings.TrimPrefix(k.Path, "/p/")] = true
	}
	all := maps.Clone(base)
	for _, more := range []files{ours, theirs, got} {
		maps.Copy(all, more)
	}
	for _, rel := range sortedKeys(all) {
		switch b, o, th, g := base[rel], ours[rel], theirs[rel], got[rel]; {
		case o != b && g != o && (o != "" || !underPut(base, ours, theirs, rel)):
			return fmt.Errorf("%s: the local change %q of %q became %q (image %q)", rel, o, b, g, th)
		case o == b && g != th && !kept[rel] && !coveredByKept(kept, ours, rel):
			return fmt.Errorf("%s: %q, untouched, became %q and not the image's %q", rel, o, g, th)
		}
	}
	return nil
}

// underPut tells whether rel is below a new directory of the image, which replaced
// an unchanged file with everything below it.
func underPut(base, ours, theirs files, rel string) bool {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if ours[dir] == base[dir] && !isDirSpec(ours[dir]) && isDirSpec(theirs[dir]) {
			return true
		}
	}
	return false
}

// coveredByKept tells whether a directory above rel is missing here, or is reported.
func coveredByKept(kept map[string]bool, ours files, rel string) bool {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if kept[dir] || ours[dir] == "" || !isDirSpec(ours[dir]) {
			return true
		}
	}
	return false
}

func TestRandomTrees(t *testing.T) {
	const rounds = 60
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 1))
		base := randomFiles(r)
		ours, theirs := base.mutated(r), base.mutated(r)
		l := newLab(t, base)
		ours.write(t, l.path().Store)
		l.setImage(t, "B", theirs)
		before := filepath.Join(t.TempDir(), "state")
		must(t, treecopy.Copy(l.sync().Dir, before))

		report := l.run(t)
		got := l.stored(t)
		if err := checkMerge(base, ours, theirs, got, report); err != nil {
			t.Errorf("seed %d: %v\nbase   %v\nours   %v\ntheirs %v\ngot    %v\nreport %+v", seed, err, base, ours, theirs, got, report)
		}
		if r := l.run(t); r.Changed+r.Added+r.Removed > 0 || !cmp.Equal(got, l.stored(t)) || !cmp.Equal(r.Kept, report.Kept) {
			t.Errorf("seed %d: the next boot is no no-op: %+v", seed, r)
		}
		l.checkCuts(t, before, got, report)
		if t.Failed() {
			t.Fatalf("seed %d: stopping at the first tree", seed)
		}
	}
}

// checkCuts cuts the power after each step of a merge, and boots again.
func (l lab) checkCuts(t *testing.T, before string, want files, report Report) {
	t.Helper()
	for cut := 0; ; cut++ {
		must(t, os.RemoveAll(l.sync().Dir))
		must(t, treecopy.Copy(before, l.sync().Dir))
		old, err := loadManifest(l.sync().Dir)
		must(t, err)
		interrupted := run{sync: l.sync(), old: old, next: manifest{}}
		must(t, interrupted.prepare(l.path()))
		ops := interrupted.merges[0].ops
		for _, o := range ops[:min(cut, len(ops))] {
			must(t, o.apply())
		}
		again := l.run(t)
		if diff := cmp.Diff(want, l.stored(t)); diff != "" {
			t.Errorf("cut after step %d of %d, and run again (-uncut +got):\n%s\n%+v", cut, len(ops), diff, ops)
		}
		if diff := cmp.Diff(report.Kept, again.Kept); diff != "" {
			t.Errorf("cut after step %d of %d: kept (-uncut +got):\n%s", cut, len(ops), diff)
		}
		if cut >= len(ops) {
			return
		}
	}
}
