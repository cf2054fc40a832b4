// SPDX-License-Identifier: Apache-2.0

// Package rpm is the package families dnf and zypper. It reads signed repositories, lets the
// real dnf or zypper choose packages from their lists (see Solver), checks each package, and
// makes inputs from them that need no network any more. framework/assemble installs them
// with rpm inside the graph. It runs no program itself.
package rpm

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/rpm/database"
	"github.com/kairos-build/kairos-build/recipes"
)

// Options of New. All but Mirrors and Env must be set.
type Options struct {
	Family string // dnf or zypper
	// Mirrors and Env are ID=URL: an address for a repository of the flavor.
	Mirrors, Env []string
	Cache        string // folder of verified metadata and packages
	Solver       Solver
	Toolbox      Toolbox
	Now          func() time.Time
	Log          *slog.Logger
}

// A Solver chooses packages.
type Solver interface {
	// Solve runs the package manager of the family without a network. repositories has the
	// lists of packages in it: a folder for each repository.
	Solve(ctx context.Context, tools []inputs.Source, r Request, repositories []inputs.File) (*Answer, error)
}

// A Toolbox has the root that dnf, zypper and rpm run in.
type Toolbox interface {
	// Resolve finds its packages. The input has the name recipes.InputToolbox.
	Resolve(ctx context.Context, arch string) (*packages.Set, error)
	// Locked makes it from a lock, see factory.Packages.
	Locked(arch string, f packages.Facts, file string) (*packages.Set, error)
}

// Packages is one of the families. Several builds may use it, one after the other.
type Packages struct {
	Options
	pool *archive.Pool
}

// parallel is how many files are downloaded at the same time.
const parallel = 8

// New makes a family.
func New(o Options) *Packages {
	return &Packages{o, archive.NewPool(archive.Options{Cache: o.Cache, Log: o.Log, Parallel: parallel})}
}

// Database is the path of rpm's database, in the format that the family's distributions use.
func (p *Packages) Database() string { return path.Join(recipes.RPMDatabase, p.databaseName()) }

func (p *Packages) databaseName() string {
	return map[string]string{"dnf": "rpmdb.sqlite", "zypper": "Packages.db"}[p.Family]
}

// BaseDatabases are the places where a base image may have it: an image moves it from /var.
func (p *Packages) BaseDatabases() []string {
	return []string{p.Database(), path.Join("var/lib/rpm", p.databaseName())}
}

// Type is the type of our packages in package URLs.
func (p *Packages) Type() string { return "rpm" }

// Resolve reads the signed repositories and finds the packages of the choice.
func (p *Packages) Resolve(ctx context.Context, c recipes.Choice) (*packages.Set, error) {
	repositories, err := p.open(ctx, c.Flavor, c.Arch)
	if err != nil {
		return nil, err
	}
	lists := c.PackageLists()
	s := &search{repositories: repositories, choice: c, lists: lists}
	if err := s.known(); err != nil {
		return nil, fmt.Errorf("flavor %s: %w", c.Flavor.Name, err)
	}
	tools, err := p.Toolbox.Resolve(ctx, c.Arch)
	if err != nil {
		return nil, fmt.Errorf("the toolbox, where %s runs: %w", p.Family, err)
	}
	answer, err := p.Solver.Solve(ctx, tools.Inputs, s.request(p.Family), s.files())
	if err != nil {
		return nil, err
	}
	found, err := s.found(answer)
	if err != nil {
		return nil, fmt.Errorf("flavor %s: %w", c.Flavor.Name, err)
	}
	set := &set{family: p, facts: facts(repositories, found, tools.Facts), lists: found, tools: tools.Inputs}
	set.trust(repositories)
	return set.packages(), nil
}

// facts are what a lock keeps: the packages of the toolbox, too, because they make the image.
func facts(repositories []*repository, lists []list, tools packages.Facts) packages.Facts {
	f := packages.Facts{Epoch: repositories[0].index.Date, Snapshots: tools.Snapshots}
	for _, r := range repositories {
		f.Indexes = append(f.Indexes, r.index)
	}
	for _, l := range lists {
		f.Lists = append(f.Lists, packages.List{Input: l.input, Packages: l.packages})
	}
	f.Lists = append(f.Lists, tools.Lists...)
	return f
}

// Installed reads rpm's database.
func (p *Packages) Installed(data []byte) ([]packages.Installed, error) { return database.Read(data) }
