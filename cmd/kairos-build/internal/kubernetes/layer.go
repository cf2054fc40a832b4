// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/recipes"
)

// static are the files that all releases of a distribution have: in k3s and k0s,
// what is copied into the layer; in users, the users of k0s.
//
//go:embed files
var static embed.FS

// links are the other names of the program, by which it acts as another one. k0s has
// no crictl.
func links(d release.Distribution) []string {
	if d == release.K3s {
		return []string{"crictl", "ctr", "kubectl"}
	}
	return []string{"ctr", "kubectl"}
}

// Inputs are the inputs of a build with this release. All files get the time at,
// except the program: see programTime.
func (r *Release) Inputs(at time.Time) ([]inputs.Source, error) {
	kubernetes, err := r.input(at)
	if err != nil || r.Version.Distribution() != release.K0s {
		return []inputs.Source{kubernetes}, err
	}
	users, err := usersInput(at)
	return []inputs.Source{kubernetes, users}, err
}

// input is the layer with the program.
func (r *Release) input(at time.Time) (inputs.Source, error) {
	files, err := staticFiles("files/" + string(r.Version.Distribution()))
	if err != nil {
		return inputs.Source{}, err
	}
	files = append(files, inputs.File{Path: layout.ImageKubernetes[1:], Mode: 0o644, Data: []byte(r.Version.String() + "\n")})
	for _, name := range links(r.Version.Distribution()) {
		files = append(files, inputs.File{Path: "usr/bin/" + name, Link: string(r.Version.Distribution())})
	}
	write := func(ctx context.Context, w io.Writer, report inputs.Report) error {
		fetched, err := r.fetch(ctx, report)
		if err != nil {
			return err
		}
		return inputs.Tree(w, append(fetched, files...), at)
	}
	return inputs.Source{Name: recipes.InputKubernetes, Key: r.key(files), Write: write}, nil
}

// fetch downloads the files of the release.
func (r *Release) fetch(ctx context.Context, report inputs.Report) ([]inputs.File, error) {
	var before int64 // bytes of the program
	program, err := r.store.fetch(ctx, r.Program, func(done, total int64) { before = done; report(done, total) })
	if err != nil {
		return nil, err
	}
	at, err := programTime(r.Program.SHA256)
	if err != nil {
		return nil, err
	}
	files := []inputs.File{{Path: r.Version.Distribution().Program()[1:], Mode: 0o755, From: program, Time: at}}
	if r.Images == nil {
		return files, nil
	}
	images, err := r.store.fetch(ctx, *r.Images, func(done, total int64) { report(before+done, before+total) })
	return append(files, inputs.File{Path: path.Join(layout.ImageKubernetesImages[1:], r.Images.Name), Mode: 0o644, From: images}), err
}

// key is the digest of everything that decides the content of the layer.
func (r *Release) key(files []inputs.File) []byte {
	sum := sha256.New()
	for _, f := range r.Files() {
		fmt.Fprintf(sum, "%q %s\n", f.Name, f.SHA256)
	}
	for _, f := range files {
		fmt.Fprintf(sum, "%q %o %q %q\n", f.Path, f.Mode, f.Link, f.Data)
	}
	return sum.Sum(nil)
}

// Times of programs are from 2001-09-09 to 2018-09-15, long before any image.
const firstTime, times = 1_000_000_000, 1 << 29

// programTime is the time of change of a program, made from its checksum. On a node,
// k0s takes an unpacked file for its own if the file has the same size and the same
// time as k0s. With one time for all versions it would go on with a program of the
// version before. With this time it also unpacks nothing when only the rest of an
// image is new.
func programTime(sum string) (time.Time, error) {
	raw, err := hex.DecodeString(sum)
	if err != nil || len(raw) < 4 {
		return time.Time{}, fmt.Errorf("BUG: %q is no checksum", sum)
	}
	return time.Unix(firstTime+int64(binary.BigEndian.Uint32(raw)%times), 0).UTC(), nil
}

// usersInput is the description of k0s' users, which is the same for all versions.
func usersInput(at time.Time) (inputs.Source, error) {
	files, err := staticFiles("files/users")
	if err != nil {
		return inputs.Source{}, err
	}
	sum := sha256.New()
	for _, f := range files {
		fmt.Fprintf(sum, "%q %q\n", f.Path, f.Data)
	}
	write := func(_ context.Context, w io.Writer, _ inputs.Report) error { return inputs.Tree(w, files, at) }
	return inputs.Source{Name: recipes.InputUsers, Key: sum.Sum(nil), Write: write}, nil
}

// staticFiles are the embedded files below dir, with their paths from there.
func staticFiles(dir string) ([]inputs.File, error) {
	var files []inputs.File
	below, err := fs.Sub(static, dir)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(below, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(below, path)
		files = append(files, inputs.File{Path: path, Mode: 0o644, Data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of the layer: %w", err)
	}
	return files, nil
}
