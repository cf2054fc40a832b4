// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml rpm
var plans embed.FS

// A plan says how packages of one distribution become the archive of another.
type plan struct {
	From     string            `yaml:"from"`     // the flavor whose packages are taken
	Origin   string            `yaml:"origin"`   // of the Release
	Codename string            `yaml:"codename"` // of the suites
	Rename   map[string]string `yaml:"rename"`   // packages, from the old name to the new
	Merge    map[string]string `yaml:"merge"`    // packages, to the one that gets their files
	Move     map[string]string `yaml:"move"`     // files, from the old path to the new
	Patch    patch             `yaml:"patch"`
	Kernel   kernelPlan        `yaml:"kernel"`
	Universe []string          `yaml:"universe"` // packages of the component universe
	Updates  []string          `yaml:"updates"`  // packages of the suite CODENAME-updates; kernel: its packages
	Security []string          `yaml:"security"` // packages of the security mirror
	// Files are texts that replace or add files, by package and path.
	Files map[string]map[string]string `yaml:"files"`
}

// A patch replaces a text in files that are no texts: both have the same length.
type patch struct {
	Old   string   `yaml:"old"`
	New   string   `yaml:"new"`
	Files []string `yaml:"files"`
}

// A kernelPlan splits a kernel package.
type kernelPlan struct {
	From string `yaml:"from"` // the meta package that a flavor names
	// Metas are the meta packages, with what they depend on: image and extra are the
	// packages of the kernel.
	Metas map[string][]string `yaml:"metas"`
	Extra []string            `yaml:"extra"` // modules of the package linux-modules-extra, by the beginning of their path
}

// readPlan reads the plan for a flavor.
func readPlan(name string) (*plan, error) {
	data, err := plans.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("there is no stand-in for %s, only for those in ci/standin/*.yaml", name)
	}
	return parsePlan(name, data)
}

func parsePlan(name string, data []byte) (*plan, error) {
	p := &plan{}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("the plan for %s: %w", name, err)
	}
	if p.From == "" || p.Codename == "" || p.Kernel.From == "" {
		return nil, fmt.Errorf("the plan for %s lacks from, codename or kernel.from", name)
	}
	if len(p.Patch.Old) != len(p.Patch.New) {
		return nil, fmt.Errorf("the plan for %s: %q and %q of patch differ in length", name, p.Patch.Old, p.Patch.New)
	}
	return p, nil
}

// renamed is the new name of a package.
func (p *plan) renamed(name string) string {
	if to, ok := p.Rename[name]; ok {
		return to
	}
	return name
}

// original is the old name of a package.
func (p *plan) original(name string) string {
	for from, to := range p.Rename {
		if to == name {
			return from
		}
	}
	return name
}

// relations renames the packages in a relation field such as Depends.
func (p *plan) relations(field string) string {
	groups := strings.Split(field, ",")
	for i, group := range groups {
		alternatives := strings.Split(group, "|")
		for j, a := range alternatives {
			name := strings.TrimSpace(a)
			if at := strings.IndexAny(name, " (:"); at >= 0 {
				name = name[:at]
			}
			alternatives[j] = strings.Replace(a, name, p.renamed(name), 1)
		}
		groups[i] = strings.Join(alternatives, "|")
	}
	return strings.Join(groups, ",")
}

// patched is the content of a file of the new archive.
func (p *plan) patched(path string, data []byte) ([]byte, error) {
	if !slices.Contains(p.Patch.Files, path) {
		return data, nil
	}
	if !bytes.Contains(data, []byte(p.Patch.Old)) {
		return nil, errors.New(path + " does not have the text " + p.Patch.Old)
	}
	return bytes.ReplaceAll(data, []byte(p.Patch.Old), []byte(p.Patch.New)), nil
}
