// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/flavors"
)

// An origin says which packages of the old distribution a plan needs.
type origin interface {
	source() (flavor, kernel string)
	originals(lists ...[]string) []string
}

func (p *plan) source() (flavor, kernel string) { return p.From, p.Kernel.From }

// choose lets kairos-build choose the packages: it makes the lock of a flavor of the old
// distribution that has what the new one's flavor names.
func (m maker) choose(ctx context.Context, p origin) (*choice, error) {
	dir := filepath.Join(m.dir, "source")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	text, err := m.sourceFlavor(p)
	if err != nil {
		return nil, err
	}
	lock := filepath.Join(dir, "lock.yaml")
	if err := os.Remove(lock); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "flavor.yaml"), text, 0o644); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, m.program, "lock", "--arch", "amd64", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s lock %s: %w: %s", m.program, dir, err, bytes.TrimSpace(out))
	}
	data, err := os.ReadFile(lock)
	if err != nil {
		return nil, err
	}
	return parseLock(data)
}

// sourceFlavor is the flavor of the old distribution, with the packages of the new one's
// under their old names.
func (m maker) sourceFlavor(p origin) ([]byte, error) {
	to, err := flavors.Open(filepath.Join(m.flavors, m.name, "flavor.yaml"))
	if err != nil {
		return nil, err
	}
	flavor, kernel := p.source()
	text, err := os.ReadFile(filepath.Join(m.flavors, flavor, "flavor.yaml"))
	if err != nil {
		return nil, err
	}
	var from map[string]any
	if err := yaml.Unmarshal(text, &from); err != nil {
		return nil, err
	}
	generic := to.Models["generic"]
	from["name"] = "source"
	from["packages"] = p.originals(to.Packages, to.Base.Archive.Base(), generic.Packages)
	from["tools"] = p.originals(to.Tools)
	from["models"] = map[string]any{"generic": map[string]any{"kernel": []string{kernel}, "cmdline": generic.Cmdline}}
	return yaml.Marshal(from)
}

func (p *plan) originals(lists ...[]string) []string {
	var all []string
	for _, name := range slices.Concat(lists...) {
		all = append(all, p.original(name))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A choice is the packages that a lock has.
type choice struct {
	epoch    time.Time
	mirrors  map[string]string // by the names of the archives
	packages []locked          // sorted by name
	kernels  []string          // names of those that hold a kernel
}

// A locked is a package of a lock.
type locked struct {
	Name    string `yaml:"name"`
	Archive string `yaml:"archive"`
	Size    int64  `yaml:"size"`
	SHA256  string `yaml:"sha256"`
	Path    string `yaml:"path"`
}

// parseLock reads what is needed of a lock, see docs/lock.md.
func parseLock(data []byte) (*choice, error) {
	var lock struct {
		Epoch   string `yaml:"epoch"`
		Indexes []struct {
			Archive string `yaml:"archive"`
			URL     string `yaml:"url"`
		} `yaml:"indexes"`
		Machines []struct {
			Inputs []struct {
				Input    string   `yaml:"input"`
				Packages []string `yaml:"packages"`
			} `yaml:"inputs"`
			Packages []locked `yaml:"packages"`
		} `yaml:"machines"`
	}
	if err := yaml.Unmarshal(data, &lock); err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	epoch, err := time.Parse(time.RFC3339, lock.Epoch)
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	c := &choice{epoch: epoch, mirrors: map[string]string{}}
	for _, i := range lock.Indexes {
		mirror, _, found := strings.Cut(i.URL, "/dists/")
		if !found {
			return nil, fmt.Errorf("reading the lock: the index %s is not below /dists/ of a mirror", i.URL)
		}
		c.mirrors[i.Archive] = mirror
	}
	for _, m := range lock.Machines {
		c.packages = append(c.packages, m.Packages...)
		for _, in := range m.Inputs {
			if in.Input == kernelInput {
				c.kernels = append(c.kernels, in.Packages...)
			}
		}
	}
	if len(c.packages) == 0 {
		return nil, errors.New("reading the lock: it has no packages")
	}
	slices.SortFunc(c.packages, func(a, b locked) int { return cmp.Compare(a.Name, b.Name) })
	return c, nil
}
