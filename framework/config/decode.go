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
	// Compat makes an unknown key a warning: it is ignored. Numbers are taken for
	// texts, and the reverse, with a warning too. Nothing else becomes milder.
	Compat bool
	// Distribution is ID of os-release(5) of the image, which says who its
	// default user is. Load finds it by itself.
	Distribution string
}

// How a person asks for Options.Compat: of a command, of a node on its kernel
// command line, and of everybody who reads a file, by a line of it.
const (
	CompatFlag     = "--compat"
	CompatArgument = "kairos.compat"
	CompatLine     = "# " + CompatArgument
)

// WithCompatLine is a file that asks for Options.Compat by itself. The line comes
// last, so that places in the file stay what they are.
func WithCompatLine(data []byte) []byte {
	if !bytes.HasSuffix(data, []byte("\n")) {
		data = slices.Concat(data, []byte("\n"))
	}
	return slices.Concat(data, []byte(CompatLine+"\n"))
}

// asksCompat looks for the line. It begins in the first column, where it is a
// comment whatever stands above it.
func asksCompat(lines []string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.TrimRight(line, " \t\r") == CompatLine })
}

// Decode reads one cloud-config file, strictly. name is how the file is called
// in problems. The config is never nil, and is without what Errors cost; it must
// not be used when the problems are Refused.
func Decode(name string, data []byte) (*Config, Problems) { return Options{}.Decode(name, data) }

// Decode is as the function of that name, with options.
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
	cloud        cloudInit // what keys of cloud-init come to
}

// headers are first lines that make the file something else than YAML, as in
// https://docs.cloud-init.io/en/latest/explanation/format.html.
var headers = []string{"#!", "#include", "#cloud-config-archive", "#cloud-boothook", "#part-handler", "## template:", "MIME-Version:", "Content-Type:"}

// header looks at the first line; false means that the rest is not a config.
func (d *decoder) header() bool {
	for _, h := range headers {
		if strings.HasPrefix(d.Lines[0], h) {
			d.Add(1, 1, Error, "", fmt.Sprintf("this is user data that begins with %q, and only cloud-configs are read here", h), "a datasource and --cloud-config of kairos-build take scripts and MIME messages; a script can also be a command of runcmd")
			return false
		}
	}
	return true
}
