// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"runtime/debug"
	"slices"
	"strings"
)

// A Program is one of our programs.
type Program struct {
	Name    string
	Place   string // path in the image, or where else it is; empty: it only helped to build
	SHA256  string // hex
	Go      string // version of Go; empty: the program does not say it
	Modules []Module
}

// A Module is a Go module in a program.
type Module struct {
	Path, Version string
	Sum           string // as in go.sum: h1:…; or empty
}

// ReadProgram reads from a program what Go's linker wrote into it. A program without that
// has no Modules.
func ReadProgram(name, place string, data []byte) Program {
	p := Program{Name: name, Place: place, SHA256: sum(data)}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return p // it is in the list by its digest
	}
	p.Go = info.GoVersion
	for _, dep := range info.Deps {
		p.Modules = append(p.Modules, moduleOf(dep))
	}
	slices.SortFunc(p.Modules, func(a, b Module) int { return cmp.Compare(a.Path, b.Path) })
	return p
}

// moduleOf is the module whose code is in the program.
func moduleOf(m *debug.Module) Module {
	if m.Replace != nil && m.Replace.Version != "" {
		m = m.Replace
	}
	return Module{m.Path, m.Version, m.Sum}
}

// This is the program that runs, as a Builder. version is its own.
func This(version string) Builder {
	b := Builder{Version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	for _, dep := range info.Deps {
		if dep.Path == "github.com/moby/buildkit" {
			b.Engine = moduleOf(dep).Version
		}
	}
	return b
}

// stdlib is the standard library of Go as a module.
func stdlib(version string) Module {
	version, _, _ = strings.Cut(version, " ") // experiments follow
	return Module{Path: "stdlib", Version: strings.TrimPrefix(version, "go")}
}
