// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/rpm"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/toolbox"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
)

// familyOptions are what package families are made with.
type familyOptions struct {
	state      string
	engine     engine.Options
	flags, env mirrors
	log        *slog.Logger
}

// families returns the package families by the names that flavors use. Mirrors are those of
// flags, of the environment and, for apt, of the host's apt configuration.
func families(o familyOptions) (map[string]factory.Packages, error) {
	debian, err := deb.New(o.deb(o.flags.archive, o.env.archive))
	// A flavor of apt that is built with the mirror of a repository says so when it resolves.
	apt, _ := deb.New(o.deb(o.flags.all(), o.env.all()))
	all := map[string]factory.Packages{"apt": apt}
	for _, family := range []string{"dnf", "zypper"} {
		all[family] = o.rpm(family, debian)
	}
	return all, err
}

func (o familyOptions) deb(flags, env []string) deb.Options {
	return deb.Options{
		Mirrors: flags, Env: strings.Join(env, " "), Host: os.DirFS("/"),
		Cache: o.cache(), Now: time.Now, Log: o.log, //nolint:forbidigo // a signature ends at a time
	}
}

// rpm is a family of rpm packages. Its programs run in a toolbox that is made by apt.
func (o familyOptions) rpm(family string, debian *deb.Packages) *rpm.Packages {
	solver := toolbox.Solver{
		Builder: engine.Builder{Options: o.engine}, State: o.state, Log: o.log,
		Assemble: func(arch string) ([]byte, error) { return payload.Program(arch, payload.Assemble) },
	}
	return rpm.New(rpm.Options{
		Family: family, Mirrors: o.flags.repositories, Env: o.env.repositories, Cache: o.cache(),
		Solver: solver, Toolbox: toolbox.Toolbox{Archive: debian, Family: family}, Now: time.Now, Log: o.log, //nolint:forbidigo // as above
	})
}

func (o familyOptions) cache() string { return filepath.Join(o.state, "archive") }

// all are the mirrors of archives and of repositories.
func (m mirrors) all() []string { return slices.Concat(m.archive, m.repositories) }
