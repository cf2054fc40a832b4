// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/html"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func TestMarkdown(t *testing.T) {
	r := read(t, exampleOptions(examples(t)))
	golden.Check(t, "testdata/report.golden", string(r.Markdown(true)))
	if plain := string(r.Markdown(false)); strings.Contains(plain, "](") {
		t.Errorf("a link where there is no folder:\n%s", plain)
	}
}

// tree are the files of a folder by their paths, with their contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestWriteTwice: the same folders give the same files, in another order and in another
// place, too.
func TestWriteTwice(t *testing.T) {
	dir, a, b := examples(t), t.TempDir(), t.TempDir()
	if err := read(t, exampleOptions(dir)).Write(a); err != nil {
		t.Fatal(err)
	}
	again := exampleOptions(dir+"/v1.3.0", dir+"/v1.1.0", dir+"/v1.0.0", dir+"/v1.2.0", dir+"/v1.2.0")
	if err := read(t, again).Write(b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree(t, a), tree(t, b)); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
}

// TestEarlierReport: what an earlier report says stays, with its sizes and files, also when
// the report is written over itself.
func TestEarlierReport(t *testing.T) {
	dir, all, site := examples(t), t.TempDir(), t.TempDir()
	if err := read(t, exampleOptions(dir)).Write(all); err != nil {
		t.Fatal(err)
	}
	if err := read(t, exampleOptions(dir+"/v1.0.0", dir+"/v1.1.0")).Write(site); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir + "/v1.0.0"); err != nil {
		t.Fatal(err)
	}
	o := exampleOptions(site, dir+"/v1.2.0", dir+"/v1.3.0")
	for range 2 {
		if err := read(t, o).Write(site); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tree(t, all), tree(t, site)); diff != "" {
			t.Errorf("(-at once +step by step):\n%s", diff)
		}
		o = Options{Dirs: []string{site}, Title: titles}
	}
}

// TestLinks: each link of the page and of the Markdown leads to a file of the report, or to
// a place in the page.
func TestLinks(t *testing.T) {
	out := t.TempDir()
	if err := read(t, exampleOptions(examples(t))).Write(out); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, PageName))
	if err != nil {
		t.Fatal(err)
	}
	links, places := linksOf(t, page)
	for _, m := range regexp.MustCompile(`\]\(<([^>]*)>\)`).FindAllStringSubmatch(tree(t, out)[MarkdownName], -1) {
		links = append(links, m[1])
	}
	logs := 0
	for _, link := range links {
		if place, ok := strings.CutPrefix(link, "#"); ok {
			if !places[place] {
				t.Errorf("no place %s", link)
			}
			continue
		}
		path, err := url.PathUnescape(link)
		if err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(out, path)); err != nil {
			t.Error(err)
		}
		if strings.HasSuffix(path, ".log") {
			logs++
		}
	}
	if logs < 20 {
		t.Errorf("only %d links to console logs", logs)
	}
}

// linksOf are the links of a page, without those that are data, and its places.
func linksOf(t *testing.T, page []byte) (links []string, places map[string]bool) {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	places = map[string]bool{}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			switch {
			case a.Key == "id" && places[a.Val]:
				t.Errorf("two places have the id %s", a.Val)
			case a.Key == "id":
				places[a.Val] = true
			case (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(a.Val, "data:"):
				links = append(links, a.Val)
			}
		}
	}
	return links, places
}

// TestHostile: texts of others are shown as they are.
func TestHostile(t *testing.T) {
	dir := t.TempDir()
	s := sample{flavor: `<script>alert(1)</script>"'|`, version: "`v1`|<img src=x onerror=alert(1)>", date: "2026-11-28", ready: 3, accelerator: "kvm", failing: true}
	s.write(t, dir)
	r := read(t, exampleOptions(dir))
	page, err := r.Page()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img", "<b>kubelet"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page has %s", bad)
		}
	}
	text := string(r.Markdown(false))
	for _, bad := range []string{"<script", "<img", "<b>kubelet", "`v1`", "b&gt; | x"} {
		if strings.Contains(text, bad) {
			t.Errorf("Markdown has %s:\n%s", bad, text)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	good := sample{flavor: "debian-13", version: "v1", date: "2026-11-28", accelerator: "kvm", ready: 3}
	for _, tt := range []struct {
		name    string
		prepare func(dir string)
		want    string
	}{
		{"nothing", func(string) {}, "there is neither a build.json nor a report.json in it or below: `kairos-build flavor` writes the one, `kairos-build report` the other"},
		{"broken", func(dir string) { writeFile(t, dir, "a/build.json", "{") }, "a/build.json: unexpected end of JSON input"},
		{"foreign", func(dir string) { writeFile(t, dir, "a/build.json", "{}") }, "a/build.json: it names no flavor: it is not what `kairos-build flavor` writes"},
		{"old build", func(dir string) { writeFile(t, dir, "build.json", `{"format":1,"flavor":"x"}`) }, "it has the format 1, and 2 is understood: build it again"},
		{"alone", func(dir string) { writeFile(t, dir, "a/test.json", "{}") }, "a/test.json: there is no build.json beside it"},
		{"new test", func(dir string) {
			good.write(t, dir)
			writeFile(t, dir, "test.json", `{"format":9}`)
		}, "test.json: it has the format 9, and 1 is understood: test again"},
		{"new report", func(dir string) { writeFile(t, dir, "report.json", `{"format":9,"runs":[]}`) }, "report.json: it has the format 9"},
		{"log elsewhere", func(dir string) {
			good.write(t, dir)
			writeFile(t, dir, "test.json", fmt.Sprintf(`{"format":1,"image":%q,"checks":[{"machine":"bios","status":"pass","console":"../../etc/passwd"}]}`, good.image()))
		}, `the console log "../../etc/passwd" is not below the folder`},
		{"report with files elsewhere", func(dir string) {
			writeFile(t, dir, "report.json", `{"format":1,"runs":[{"id":"x","files":["../../etc/passwd"]}]}`)
		}, "report.json: run \"x\": it was not written by `kairos-build report`"},
		{"report with runs elsewhere", func(dir string) {
			writeFile(t, dir, "report.json", `{"format":1,"runs":[{"id":"../x","files":[]}]}`)
		}, "it was not written by `kairos-build report`"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.prepare(dir)
			_, err := Read(t.Context(), exampleOptions(dir))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), dir) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := Read(t.Context(), exampleOptions("/no/such")); err == nil || !strings.Contains(err.Error(), "/no/such: it is no folder with results: no such file or directory") {
		t.Errorf("got %v", err)
	}
}

// TestNotes: what is left out is said.
func TestNotes(t *testing.T) {
	dir := t.TempDir()
	s := sample{flavor: "debian-13", version: "v1", date: "2026-11-28", accelerator: "kvm", ready: 3}
	s.write(t, dir+"/a")
	writeJSON(t, dir+"/a", "test.json", sample{flavor: "debian-13", version: "v2"}.report())
	writeFile(t, dir, "b/build.json", `{"format":2,"flavor":"debian-12"}`)
	var notes []string
	o := exampleOptions(dir)
	o.Note = func(text string) { notes = append(notes, strings.TrimPrefix(text, dir)) }
	r := read(t, o)
	want := []string{
		"/a: test.json is about another image (" + short(digestOf("debian-13v2")) + "), so the image counts as not tested: `kairos-build test " + dir + "/a`",
		"/b: it has no image, so nothing is said about it: build with --artifact image,raw",
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(r.Runs) != 1 || r.Runs[0].Test != nil || r.Runs[0].verdict().Text != "not tested" {
		t.Errorf("got %+v", r.Runs)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "thesis.txt", "mine")
	r := read(t, exampleOptions(examples(t)))
	if err := r.Write(dir); err == nil || !strings.HasSuffix(err.Error(), "is not empty and has no earlier report: name a new folder with -o") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(map[string]string{"thesis.txt": "mine"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// TestOldRuns: of old runs the figures stay, and the files go.
func TestOldRuns(t *testing.T) {
	r := read(t, exampleOptions(examples(t)))
	for _, h := range r.histories() {
		if len(h) != 4 {
			t.Errorf("%s has %d runs", h.newest().Name(), len(h))
		}
		for _, old := range h[:len(h)-1] {
			if len(old.Files) > 0 || old.Packages != nil || old.Test != nil && (old.Test.Ready == 0 || old.Test.Machines[0].Checks != nil || old.Test.Machines[0].Passed == 0) {
				t.Errorf("%s %s: %+v", old.Name(), old.Version, old)
			}
		}
	}
}

func TestUpgradeBytes(t *testing.T) {
	r := read(t, exampleOptions(examples(t)))
	h := r.histories()[1]
	if got := h[3].download(h[2]); got != (12<<20)+9<<19 {
		t.Errorf("got %d", got)
	}
	if got := h[3].download(h[3]); got != 0 {
		t.Errorf("from itself: %d", got)
	}
}

func TestKubernetesOf(t *testing.T) {
	for release, want := range map[string]string{"": "", "v1.34.1+k3s1": "k3s v1.34", "v1.36.3+k0s.0": "k0s v1.36", "v1.34": "v1.34"} {
		if got := kubernetesOf(release); got != want {
			t.Errorf("%s: got %q, want %q", release, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "0.98 KiB", 1 << 20: "1.00 MiB", 201 << 20: "201 MiB", 1<<20*20 + 1<<19: "20.5 MiB", 3 << 30: "3.00 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for s, want := range map[float64]string{9.994: "9.99 s", 9.996: "10.0 s", 99.96: "100 s", 12.34: "12.3 s"} {
		if got := secondsText(s); got != want {
			t.Errorf("%v: got %s, want %s", s, got, want)
		}
	}
}

// TestSquarify: the tiles fill the rectangle, do not overlap, and have their areas.
func TestSquarify(t *testing.T) {
	packages, _ := fewSizes(t.Context(), "", "")
	const w, h = 960.0, 420.0
	sorted := newTreemap("", packages).packages
	if sum(sorted) != sum(packages) || len(sorted) > len(packages)/2 {
		t.Fatalf("%d packages of %d, %d bytes of %d", len(sorted), len(packages), sum(sorted), sum(packages))
	}
	tiles := squarify(sorted, w, h)
	for i, a := range tiles {
		area := float64(a.Size) / float64(sum(packages)) * w * h
		if math.Abs(a.w*a.h-area) > area/1e6 || a.x < -1e-6 || a.y < -1e-6 || a.x+a.w > w+1e-6 || a.y+a.h > h+1e-6 {
			t.Errorf("tile %+v, want the area %v", a, area)
		}
		if ratio := max(a.w/a.h, a.h/a.w); ratio > 4 {
			t.Errorf("tile %+v is %v times as long as wide", a, ratio)
		}
		for _, b := range tiles[i+1:] {
			if a.x+1e-6 < b.x+b.w && b.x+1e-6 < a.x+a.w && a.y+1e-6 < b.y+b.h && b.y+1e-6 < a.y+a.h {
				t.Errorf("%+v overlaps %+v", a, b)
			}
		}
	}
	if squarify(nil, w, h) != nil {
		t.Error("tiles of nothing")
	}
}

func TestTicks(t *testing.T) {
	for _, values := range [][]float64{{12.3, 12.9}, {100}, {0, 0}, {0, 90}, {1e9, 1.3e9}, {200.01, 200.02}} {
		p := plot{}
		for _, v := range values {
			p.points = append(p.points, point{value: v})
		}
		low, step, high := p.ticks()
		if low > values[0] || high < values[len(values)-1] || step <= 0 || (high-low)/step > 6 || low < 0 {
			t.Errorf("%v: %v by %v to %v", values, low, step, high)
		}
	}
}

func TestPlotPlaces(t *testing.T) {
	p := plot{points: []point{{day: "2026-11-01"}, {day: "2026-11-02"}, {day: "2026-11-02"}, {day: "2026-11-11"}}}
	xs := p.xs()
	for i := range xs[1:] {
		if xs[i+1] <= xs[i] {
			t.Errorf("got %v", xs)
		}
	}
	if near := xs[1] - xs[0]; xs[3]-xs[2] < 5*near {
		t.Errorf("ten days are as near as one: %v", xs)
	}
	same := plot{points: []point{{day: "x"}, {day: "x"}, {day: "x"}}}.xs()
	if same[0] != plotLeft+8 || same[2] != plotWidth-plotRight-8 {
		t.Errorf("got %v", same)
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"format":1,"runs":[{"id":"a","flavor":"x","files":["a"],"test":{"ready_seconds":1,"machines":[{"name":"m"}]},"packages":[{"name":"a","size":-1}]}]}`))
	f.Add([]byte(`{"format":1,"runs":[{"id":"a","layers":[{"size":9223372036854775807}]},{"id":"b","created":"x","packages":[{"size":9223372036854775807},{"size":9223372036854775807}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, JSONName), data, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Read(t.Context(), Options{Dirs: []string{dir}, Title: titles})
		if err != nil {
			return
		}
		if _, err := r.Page(); err != nil {
			t.Fatal(err)
		}
		r.Markdown(true)
		if _, err := r.JSON(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestJSONRoundTrip(t *testing.T) {
	r := read(t, exampleOptions(examples(t)))
	data, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, &back, cmpopts.IgnoreFields(Run{}, "from"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
