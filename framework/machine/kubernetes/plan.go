// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A Plan is what a node has and runs for its role. The zero Plan is that of a node
// without a role.
type Plan struct {
	Role  string // the key of the config, such as k3s-agent; empty: none
	Unit  string // of systemd
	Files []File // sorted by path
	Links []Link // sorted by path

	at   config.Position // of the key that enables the role
	data string          // the data directory
	// release is that of the image.
	release string
}

// A File is a file of a plan. It belongs to root.
type File struct {
	Path    string
	Data    []byte
	Mode    fs.FileMode
	Restart bool // the program reads it only when it starts
}

// A Link is a symbolic link of a plan.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// Make returns the plan of a config on an image, and what is wrong with the config. With
// an Error among the problems, the plan must not be carried out.
func Make(c *config.Config, image Image) (Plan, config.Problems) {
	problems := Check(c, &image)
	on := enabled(c)
	if problems.Failed() || len(on) == 0 {
		return Plan{}, problems
	}
	r := on[0]
	args, _ := r.arguments(c, &image) // Check has reported the problems
	p := Plan{Role: r.key, Unit: r.unit, at: r.of(c).Origin, data: r.dataDir(c, args), release: image.Version.String()}
	if r.distribution == release.K3s {
		p.k3s(c, r, args)
	} else {
		p.k0s(c, r, args)
		p.containerd(c, r, image)
	}
	p.datastore()
	m, _ := MemberOf(c, image)
	p.member(m)
	p.env(c, r)
	p.images(r, c, image)
	slices.SortFunc(p.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(p.Links, func(a, b Link) int { return strings.Compare(a.Path, b.Path) })
	return p, problems
}

// dataDir is the data directory: that of the last --data-dir, or of the variable that k3s
// reads.
func (r role) dataDir(c *config.Config, args []given) string {
	data := defaultData(r.distribution)
	if r.distribution == release.K3s {
		if dir := r.envOf(c, "K3S_DATA_DIR"); path.IsAbs(dir) {
			data = path.Clean(dir)
		}
	}
	for _, g := range args {
		if (g.name == "data-dir" || r.distribution == release.K3s && g.name == "d") && path.IsAbs(g.value) {
			data = path.Clean(g.value)
		}
	}
	return data
}

// file adds a config file; only root may read one with a secret.
func (p *Plan) file(name string, data []byte, secret bool) {
	mode := fs.FileMode(0o644)
	if secret {
		mode = 0o600
	}
	p.Files = append(p.Files, File{name, data, mode, true})
}

// secret adds a file that may hold secrets.
func (p *Plan) secret(name string, data []byte, restart bool) {
	p.Files = append(p.Files, File{name, data, 0o600, restart})
}

// head is the first line of every file that a person may find.
const head = "# From the cloud-config: kairos-agent writes this file at every boot.\n"

// images links archives into the folder that the program imports images from.
func (p *Plan) images(r role, c *config.Config, image Image) {
	folder := p.data + "/images"
	if r.distribution == release.K3s {
		folder = p.data + "/agent/images"
	}
	add := func(n, target string) { p.Links = append(p.Links, Link{folder + "/" + prefix + n, target}) }
	for _, archive := range image.Images {
		add("image-"+path.Base(archive), archive)
	}
	for i, archive := range r.of(c).Images {
		add(fmt.Sprintf("%d-%s", i, path.Base(archive.Text)), archive.Text)
	}
}

// prefix begins the names of our files in folders of the distribution.
const prefix = "kairos-"

// manifests are the objects of the config.
func (p *Plan) manifests(folder string, all []config.Manifest) {
	for _, m := range all {
		p.secret(folder+"/kairos/"+m.Name+".yaml", []byte(strings.TrimSuffix(m.Text.Text, "\n")+"\n"), false)
	}
}

// digest identifies what a service was started with: the files that it reads only
// then. foreign has the content of the distribution's config files that are not in the
// plan.
func (p Plan) digest(foreign []File) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", p.Unit)
	for _, f := range slices.Concat(p.Files, foreign) {
		if f.Restart {
			fmt.Fprintf(sum, "%q %q\n", f.Path, f.Data)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
