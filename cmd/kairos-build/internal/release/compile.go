// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
)

// nodeArches are the architectures of the flavors. The node programs for them are in each
// kairos-build, whatever machine it runs on: another BuildKit may build for it.
func nodeArches() ([]string, error) {
	var all []string
	for _, name := range flavors.Names() {
		f, err := flavors.Load(name)
		if err != nil {
			return nil, err
		}
		all = append(all, f.Arches()...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// nodePrograms are the packages of the programs for nodes.
func nodePrograms() map[string]string {
	return map[string]string{
		payload.Init: "./framework/initramfs", payload.Agent: "./framework/agent", payload.Assemble: "./framework/rootfs/assemble",
	}
}

// payloadFolder is where kairos-build takes the node programs from when it is compiled.
const payloadFolder = "framework/rootfs/payload/bin"

// buildFlags are those of every program: no paths of this machine, and no state of git.
func buildFlags() []string { return []string{"-trimpath", "-buildvcs=false"} }

// linkFlags leave out the symbols, and tell a program its version.
func linkFlags(version string) string { return "-s -w -X main.version=" + version }

// A compiler compiles the programs of one copy of the source.
type compiler struct {
	goCommand, dir string
	version        string // of the release
	toolchain      string // go1.26.8
}

// compile compiles everything, and leaves the published programs in out.
func (s source) compile(ctx context.Context, o options, out folder, say func(string, ...any)) (r evidence.Release, err error) {
	dir, err := os.MkdirTemp("", "kairos-build-release-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, "source")
	if err := s.export(ctx, copied); err != nil {
		return r, err
	}
	c := compiler{goCommand: o.goCommand, dir: copied, version: o.version}
	if c.toolchain, err = toolchainOf(copied); err != nil {
		return r, err
	}
	r = evidence.Release{
		Version: o.version, Created: s.created, Commit: s.commit, Builder: o.builder, Go: c.toolchain,
		Flags: append(buildFlags(), "-ldflags", linkFlags(o.version)),
	}
	if r.Programs, err = c.forNodes(ctx, o.arches, say); err != nil {
		return r, err
	}
	for _, arch := range o.arches {
		p, err := c.published(ctx, arch, out, say)
		if err != nil {
			return r, err
		}
		r.Programs = append(r.Programs, p)
	}
	return r, nil
}

// toolchainOf is the Go version of go.mod: another one makes other bytes.
func toolchainOf(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("the commit is not one of kairos-build: %w", err)
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return "", err
	}
	if mod.Go == nil {
		return "", errors.New("go.mod names no Go version")
	}
	return "go" + mod.Go.Version, nil
}

// forNodes compiles the programs for nodes, to where kairos-build takes them from.
func (c compiler) forNodes(ctx context.Context, arches []string, say func(string, ...any)) ([]evidence.ReleaseProgram, error) {
	var files []string
	for _, arch := range arches {
		files = append(files, published(arch))
	}
	targets, err := nodeArches()
	if err != nil {
		return nil, err
	}
	var all []evidence.ReleaseProgram
	for _, arch := range targets {
		for _, name := range slices.Sorted(maps.Keys(nodePrograms())) {
			p, err := c.program(ctx, arch, name, nodePrograms()[name], filepath.Join(c.dir, payloadFolder, arch, name), say)
			if err != nil {
				return nil, err
			}
			p.Place = "inside " + strings.Join(files, ", ")
			all = append(all, p)
		}
	}
	return all, nil
}

// published is the file name of kairos-build for an architecture.
func published(arch string) string { return "kairos-build-linux-" + arch }

func (c compiler) published(ctx context.Context, arch string, out folder, say func(string, ...any)) (evidence.ReleaseProgram, error) {
	name := published(arch)
	p, err := c.program(ctx, arch, name, "./cmd/kairos-build", out.path(name), say)
	p.Published = true
	return p, err
}

// program compiles a program, and reads what it is made of.
func (c compiler) program(ctx context.Context, arch, name, pkg, file string, say func(string, ...any)) (evidence.ReleaseProgram, error) {
	begin := time.Now() //nolint:forbidigo // measures seconds
	if err := c.goBuild(ctx, arch, pkg, file); err != nil {
		return evidence.ReleaseProgram{}, fmt.Errorf("compiling %s for %s: %w", name, arch, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return evidence.ReleaseProgram{}, err
	}
	if err := c.check(data, arch); err != nil {
		return evidence.ReleaseProgram{}, fmt.Errorf("%s for %s: %w", name, arch, err)
	}
	say("%-25s %-6s %6.1f MB %5.0f s", name, arch, float64(len(data))/1e6, time.Since(begin).Seconds())
	return evidence.ReleaseProgram{Program: evidence.ReadProgram(name, "", data), Arch: arch}, nil
}

func (c compiler) goBuild(ctx context.Context, arch, pkg, file string) error {
	args := append([]string{"build"}, buildFlags()...)
	args = append(args, "-ldflags", linkFlags(c.version), "-o", file, pkg)
	cmd := exec.CommandContext(ctx, c.goCommand, args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.environment(arch)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, complaint.Bytes())
	}
	return nil
}

// environment sets everything that could change a byte.
func (c compiler) environment(arch string) []string {
	return []string{
		"GOTOOLCHAIN=" + c.toolchain, "CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOWORK=off",
	}
}

// check compares what the linker wrote into a program with what it should be.
func (c compiler) check(program []byte, arch string) error {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return err
	}
	if info.GoVersion != c.toolchain {
		return fmt.Errorf("it was compiled by %s, not %s", info.GoVersion, c.toolchain)
	}
	want := map[string]string{"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch, "-trimpath": "true"}
	for _, s := range info.Settings {
		if value, ok := want[s.Key]; ok && value == s.Value {
			delete(want, s.Key)
		}
		if strings.HasPrefix(s.Key, "vcs") {
			return fmt.Errorf("the state of git is in it: %s=%s", s.Key, s.Value)
		}
	}
	if missing := slices.Sorted(maps.Keys(want)); len(missing) > 0 {
		return fmt.Errorf("it was not compiled with %s=%s", missing[0], want[missing[0]])
	}
	if bytes.Contains(program, []byte(c.dir)) {
		return fmt.Errorf("the folder %s is in it", c.dir)
	}
	return nil
}
