// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// MaxSize is the largest file, in bytes, that Decode reads.
const MaxSize = strict.MaxSize

// Options say how files are read. The zero value is strict.
type Options struct {
	// Compat turns an unknown key into a warning; the key is ignored. It accepts
	// numbers as texts, and the reverse, with a warning too. Nothing else gets milder.
	Compat bool
	// Distribution is ID of os-release(5) of the image. It decides the default
	// user of the image. Load finds it by itself.
	Distribution string
}

// How to ask for Options.Compat: with a flag of a command, with an argument on the
// kernel command line of a node, and with a line in a file, for all who read it.
const (
	CompatFlag     = "--compat"
	CompatArgument = "kairos.compat"
	CompatLine     = "# " + CompatArgument
)

// WithCompatLine adds CompatLine to a file. The line comes last, so that places in
// the file stay the same.
func WithCompatLine(data []byte) []byte {
	if !bytes.HasSuffix(data, []byte("\n")) {
		data = slices.Concat(data, []byte("\n"))
	}
	return slices.Concat(data, []byte(CompatLine+"\n"))
}

// asksCompat looks for CompatLine. It must begin in the first column, where it is a
// comment whatever the lines above are.
func asksCompat(lines []string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.TrimRight(line, " \t\r") == CompatLine })
}

// Decode reads one cloud-config file, strictly. name is the file's name in
// problems. The config is never nil, and lacks what Errors cost. It must not be
// used when the problems are Refused.
func Decode(name string, data []byte) (*Config, Problems) { return Options{}.Decode(name, data) }

// Decode is the function of that name, with options.
func (o Options) Decode(name string, data []byte) (*Config, Problems) {
	d := newDecoder(name, o)
	if root := d.read(data); root != nil {
		return d.config(root)
	}
	return &Config{Origins: d.origins}, d.done()
}

func newDecoder(name string, o Options) *decoder {
	d := &decoder{File: strict.NewFile(name), distribution: o.Distribution, origins: map[string]Position{}}
	d.Compat, d.Form = o.Compat, formOf
	return d
}

// read is the root mapping of a file, or nil when it has none.
func (d *decoder) read(data []byte) *yaml.Node {
	if !d.Take(data) {
		return nil
	}
	d.Compat = d.Compat || asksCompat(d.Lines)
	if !d.header() {
		return nil
	}
	return d.Parse(data)
}

func (d *decoder) done() Problems { return d.costs(d.Done()) }

// remember records where keys were given.
func (d *decoder) remember(prefix string, pairs []pair) {
	for _, p := range pairs {
		d.origins[prefix+p.name] = p.key.Position()
	}
}

type decoder struct {
	*strict.File
	distribution string
	origins      map[string]Position
	cloud        cloudInit // what the keys of cloud-init ask for
}

// headers are the beginnings of files that are not YAML, as in
// https://docs.cloud-init.io/en/latest/explanation/format.html.
var headers = []string{"#!", "#include", "#cloud-config-archive", "#cloud-boothook", "#part-handler", "## template:", "MIME-Version:", "Content-Type:"}

// header checks the first line; false means that the file is not a config.
func (d *decoder) header() bool {
	for _, h := range headers {
		if strings.HasPrefix(d.Lines[0], h) {
			d.Add(1, 1, Error, "", fmt.Sprintf("this is user data that begins with %q, and only cloud-configs are read here", h), "a datasource and --cloud-config of kairos-build take scripts and MIME messages; a script can also be a command of runcmd")
			return false
		}
	}
	return true
}
