// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Options say what a report is made of.
type Options struct {
	// Dirs are folders of builds, folders with such folders below, and folders of earlier
	// reports.
	Dirs []string
	// Title names a machine of a test for people.
	Title func(machine string) string
	// Sizes reads the sizes of packages from the image of a build in a folder. nil: they are
	// taken from earlier reports alone.
	Sizes func(ctx context.Context, dir, architecture string) ([]Package, error)
	// Note is told what is left out, and why.
	Note func(string)
}

// maxDocument is the largest file, in bytes, that is read as JSON.
const maxDocument = 64 << 20

// A source is the folder that the files of a run are in.
type source struct {
	root  string // as the user named it
	below string // of the run, relative to root
}

func (s source) String() string { return filepath.Join(s.root, filepath.FromSlash(s.below)) }

// Read reads what is in the folders. The error is about every file that is wrong.
func Read(ctx context.Context, o Options) (*Report, error) {
	r := &Report{Format: Format, Runs: []Run{}}
	var errs []error
	known := map[string][]Package{}
	for _, dir := range o.Dirs {
		d := folder{options: o, dir: dir, known: known}
		errs = append(errs, d.read())
		r.Runs = append(r.Runs, d.runs...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r.settle()
	return r, r.weigh(ctx, o, known)
}

// weigh adds the sizes of packages to the newest runs.
func (r *Report) weigh(ctx context.Context, o Options, known map[string][]Package) error {
	for i := range r.Runs {
		run := &r.Runs[i]
		newest := i+1 == len(r.Runs) || run.Subject != r.Runs[i+1].Subject
		switch {
		case !newest:
		case known[run.Image] != nil:
			run.Packages = known[run.Image]
		case run.from.root != "" && o.Sizes != nil && isFolder(filepath.Join(run.from.String(), "image")):
			packages, err := o.Sizes(ctx, run.from.String(), run.Architecture)
			if err != nil {
				return fmt.Errorf("the sizes of packages: %w", err)
			}
			run.Packages = packages
		}
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// A folder is one of Options.Dirs while it is read.
type folder struct {
	options Options
	dir     string
	root    fs.FS
	known   map[string][]Package // by image
	runs    []Run
	errs    []error
}

func (f *folder) fail(name string, err error) {
	f.errs = append(f.errs, fmt.Errorf("%s: %w", filepath.Join(f.dir, filepath.FromSlash(name)), err))
}

// read reads everything below the folder. No link leads out of it.
func (f *folder) read() error {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fmt.Errorf("%s: it is no folder with results: %w", f.dir, unwrapPath(err))
	}
	f.root = root.FS()
	err = fs.WalkDir(f.root, ".", f.visit)
	err = errors.Join(append(f.errs, err, root.Close())...)
	if err == nil && len(f.runs) == 0 {
		err = fmt.Errorf("%s: there is neither a build.json nor a %s in it or below: `kairos-build flavor` writes the one, `kairos-build report` the other", f.dir, JSONName)
	}
	return err
}

func unwrapPath(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

func (f *folder) visit(name string, e fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case e.IsDir() && (e.Name() == "blobs" || e.Name() == runsName && f.has(path.Join(path.Dir(name), JSONName))):
		return fs.SkipDir
	case e.Name() == "build.json":
		f.build(path.Dir(name))
	case e.Name() == testName && !f.has(path.Join(path.Dir(name), "build.json")):
		f.fail(name, errors.New("there is no build.json beside it, so nobody knows of which flavor it is: copy the one of the build to it"))
	case e.Name() == JSONName:
		f.earlier(name)
	}
	return nil
}

func (f *folder) has(name string) bool {
	info, err := fs.Stat(f.root, name)
	return err == nil && info.Mode().IsRegular()
}

// decode reads a JSON file. The result is false if it is not there, or wrong: then that is in
// the errors.
func (f *folder) decode(name string, to any) ([]byte, bool) {
	data, err := f.load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		f.fail(name, err)
	}
	return data, err == nil
}

func (f *folder) load(name string) ([]byte, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return nil, unwrapPath(err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("it is larger than %d bytes", maxDocument)
	}
	return data, errors.Join(err, file.Close())
}

// built is what a report needs of build.json.
type built struct {
	Format       int
	Flavor       string
	Version      string
	Architecture string
	Model        string
	Kubernetes   string
	Created      string
	Registry     string
	Image        *struct {
		Digest string
		Size   int64
		Layers []Layer
	}
}

// tested is what a report needs of test.json.
type tested struct {
	Format      int
	Image       string
	Date        string
	Accelerator string
	QEMU        string
	StandIn     bool
	Passed      bool
	Boots       []boot
	Checks      []result
}

// A boot is one boot of a test.
type boot struct {
	Ready float64 `json:"ready_seconds"`
}

// A result is one check of test.json.
type result struct {
	Machine, Name, Title, Status, Message, Console string
	Seconds                                        float64
}

// How a check ended.
const (
	pass = "pass"
	fail = "fail"
	skip = "skip"
)

// The file of a test, and the formats of foreign files that are understood.
const (
	testName    = "test.json"
	testFormat  = 1
	buildFormat = 2
)

// build reads the folder of a build.
func (f *folder) build(dir string) {
	var b built
	name := path.Join(dir, "build.json")
	if _, ok := f.decode(name, &b); !ok {
		return
	}
	switch {
	case b.Flavor == "":
		f.fail(name, errors.New("it names no flavor: it is not what `kairos-build flavor` writes"))
	case b.Format != buildFormat:
		f.fail(name, fmt.Errorf("it has the format %d, and %d is understood: build it again, or use the kairos-build that built it", b.Format, buildFormat))
	case b.Image == nil || !isDigest(b.Image.Digest):
		f.note(dir, "it has no image, so nothing is said about it: build with --artifact image,raw")
	default:
		f.run(dir, b)
	}
}

func isDigest(s string) bool {
	sum, err := hex.DecodeString(strings.TrimPrefix(s, "sha256:"))
	return err == nil && len(sum) == sha256.Size && strings.HasPrefix(s, "sha256:")
}

func (f *folder) note(dir, text string) {
	if f.options.Note != nil {
		f.options.Note(filepath.Join(f.dir, filepath.FromSlash(dir)) + ": " + text)
	}
}

func (f *folder) run(dir string, b built) {
	r := Run{
		Subject: Subject{b.Flavor, b.Architecture, b.Model, kubernetesOf(b.Kubernetes)},
		Version: b.Version, Release: b.Kubernetes, Image: b.Image.Digest, Size: b.Image.Size, Layers: b.Image.Layers,
		Created: b.Created, Registry: b.Registry, Files: []string{}, from: source{f.dir, dir},
	}
	if r.Layers == nil {
		r.Layers = []Layer{}
	}
	data := f.test(dir, &r)
	sum := sha256.Sum256(append([]byte(r.Image), data...))
	r.ID = r.id() + "-" + hex.EncodeToString(sum[:6])
	f.documents(dir, &r)
	f.runs = append(f.runs, r)
}

// kubernetesOf is the kind and the minor version of a release such as v1.34.1+k3s1.
func kubernetesOf(release string) string {
	version, build, _ := strings.Cut(release, "+")
	if version == "" {
		return ""
	}
	parts := strings.SplitN(version, ".", 3)
	kind, _, _ := strings.Cut(build, ".")
	kind = strings.TrimRight(kind, "0123456789")
	return strings.TrimSpace(kind + " " + strings.Join(parts[:min(2, len(parts))], "."))
}

// test reads the result of the test of a build, and returns the bytes of the file.
func (f *folder) test(dir string, r *Run) []byte {
	var made tested
	name := path.Join(dir, testName)
	data, ok := f.decode(name, &made)
	switch {
	case !ok:
		return nil
	case made.Format != testFormat:
		f.fail(name, fmt.Errorf("it has the format %d, and %d is understood: test again", made.Format, testFormat))
		return nil
	case made.Image != r.Image:
		f.note(dir, fmt.Sprintf("test.json is about another image (%s), so the image counts as not tested: `kairos-build test %s`", short(made.Image), filepath.Join(f.dir, dir)))
		return nil
	}
	r.Test = &Test{
		Date: made.Date, Accelerator: made.Accelerator, QEMU: made.QEMU, StandIn: made.StandIn, Passed: made.Passed,
		Ready: median(made.Boots), Machines: []Machine{},
	}
	for _, c := range made.Checks {
		f.check(name, r.Test, c)
	}
	return data
}

// median is the median of the times until machines were ready.
func median(boots []boot) float64 {
	var all []float64
	for _, b := range boots {
		if b.Ready > 0 {
			all = append(all, b.Ready)
		}
	}
	if all == nil {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (f *folder) check(file string, t *Test, c result) {
	m := t.machine(c.Machine)
	if m == nil {
		t.Machines = append(t.Machines, Machine{Name: c.Machine, Title: f.options.Title(c.Machine)})
		m = &t.Machines[len(t.Machines)-1]
	}
	done := Check{Name: c.Name, Title: c.Title, Status: c.Status, Seconds: c.Seconds}
	switch c.Status {
	case pass:
		m.Passed++
	case skip:
		m.Skipped++
	default:
		m.Failed++
		done.Status = fail
	}
	if c.Status != pass {
		done.Message = c.Message
	}
	m.Checks = append(m.Checks, done)
	if c.Console == "" {
		return
	}
	if !filepath.IsLocal(c.Console) {
		f.fail(file, fmt.Errorf("the console log %q is not below the folder: the file was not written by `kairos-build test`", c.Console))
		return
	}
	if log := path.Join(path.Dir(file), c.Console); m.Log == "" && f.has(log) {
		m.Log = path.Clean(filepath.ToSlash(c.Console))
	}
}

// The documents of a build that a report has copies of. A signature is beside its document.
const (
	attestation = "test-result.json"
	bundle      = ".sigstore.json"
)

// documents finds the files of a run that the report has copies of.
func (f *folder) documents(dir string, r *Run) {
	names := []string{"build.json", testName, "provenance.json", "provenance.json" + bundle, attestation, attestation + bundle}
	if r.Test == nil {
		names = slices.DeleteFunc(names, func(n string) bool { return n == testName || strings.HasPrefix(n, attestation) })
	}
	for _, name := range names {
		if f.has(path.Join(dir, name)) {
			r.Files = append(r.Files, name)
		}
	}
	if slices.Contains(r.Files, attestation) {
		r.Attestation, r.Signed = attestation, slices.Contains(r.Files, attestation+bundle)
	}
	if r.Test == nil {
		return
	}
	for _, m := range r.Test.Machines {
		if m.Log != "" && !slices.Contains(r.Files, m.Log) {
			r.Files = append(r.Files, m.Log)
		}
	}
}

// earlier reads an earlier report. A file of another program with this name is none.
func (f *folder) earlier(name string) {
	var r Report
	if _, ok := f.decode(name, &r); !ok || r.Runs == nil {
		return
	}
	if r.Format != Format {
		f.fail(name, fmt.Errorf("it has the format %d, and %d is understood: use the kairos-build that made it", r.Format, Format))
		return
	}
	for _, run := range r.Runs {
		if err := run.check(); err != nil {
			f.fail(name, fmt.Errorf("run %q: %w", run.ID, err))
			continue
		}
		run.from = source{f.dir, path.Join(path.Dir(name), runsName, run.ID)}
		if run.Packages != nil {
			f.known[run.Image] = run.Packages
		}
		f.runs = append(f.runs, run)
	}
}

// errNotOurs is the error about a report.json that no kairos-build wrote.
var errNotOurs = errors.New("it was not written by `kairos-build report`: its names are no names of files below it")

// check refuses paths that lead out of the folder of the report.
func (r Run) check() error {
	names := append([]string{r.ID}, r.Files...)
	if r.Attestation != "" {
		names = append(names, r.Attestation)
	}
	if r.Test != nil {
		for _, m := range r.Test.Machines {
			if m.Log != "" {
				names = append(names, m.Log)
			}
		}
	}
	if strings.ContainsAny(r.ID, `/\`) || slices.ContainsFunc(names, func(n string) bool { return !filepath.IsLocal(n) }) {
		return errNotOurs
	}
	return nil
}

// short is the beginning of a digest.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}
