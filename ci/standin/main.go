// SPDX-License-Identifier: Apache-2.0

// standin makes a stand-in for a distribution whose archive cannot be reached: a signed
// archive with the programs of Debian, laid out as the other distribution lays out its own
// (mirrors, suites, components, names and compression of packages, places of files), and a
// folder with the other distribution's flavor, in which only the key is another one. What
// is built from it went through the recipe of that flavor, and is booted.
//
// A stand-in says what it is: its os-release has VARIANT_ID=stand-in.
//
// Usage: go run ./ci/standin [-program bin/kairos-build] [-flavors flavors] ubuntu-24.04 DIR
//
// DIR gets the folders main and security (the mirrors) or one for each repository of rpm
// packages, flavor (its flavor.yaml and the key) and downloads. The last line of the output is
// the command that builds it. A host needs dpkg-deb; for rpm packages also root, and rpmbuild,
// rpmsign, createrepo_c and gpg.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("standin", flag.ContinueOnError)
	m := maker{out: out}
	flags.StringVar(&m.program, "program", "bin/kairos-build", "the kairos-build that chooses the packages")
	flags.StringVar(&m.flavors, "flavors", "flavors", "folder of the flavors")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return fmt.Errorf("want a flavor and a folder, got %d arguments: go run ./ci/standin ubuntu-24.04 DIR", flags.NArg())
	}
	m.name = flags.Arg(0)
	var err error
	if m.dir, err = filepath.Abs(flags.Arg(1)); err != nil {
		return err
	}
	return m.make(ctx)
}

// download fetches the packages of the old distribution that a plan needs.
func (m maker) download(ctx context.Context, p origin) (*choice, []string, error) {
	chosen, err := m.choose(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	from, _ := p.source()
	fmt.Fprintf(m.out, "%d packages of %s\n", len(chosen.packages), from)
	paths, err := chosen.fetch(ctx, filepath.Join(m.dir, "downloads"))
	return chosen, paths, err
}

// A maker makes one stand-in.
type maker struct {
	name    string // of the flavor
	dir     string // absolute
	program string
	flavors string
	out     io.Writer
}

func (m maker) make(ctx context.Context) error {
	rpms, err := readRPMPlan(m.name)
	if err != nil {
		return err
	}
	var plan *plan
	if rpms == nil {
		if plan, err = readPlan(m.name); err != nil {
			return err
		}
	}
	key, err := openKey(filepath.Join(m.dir, "key.pgp"))
	if err != nil {
		return err
	}
	if err := m.writeFlavor(key); err != nil {
		return err
	}
	if rpms != nil {
		return m.makeRPM(ctx, rpms, key)
	}
	return m.makeDeb(ctx, plan, key)
}

// makeDeb makes the stand-in for a distribution of deb packages.
func (m maker) makeDeb(ctx context.Context, plan *plan, key *signingKey) error {
	chosen, paths, err := m.download(ctx, plan)
	if err != nil {
		return err
	}
	made, err := plan.repackage(ctx, chosen, paths)
	if err != nil {
		return err
	}
	if err := plan.publish(m.dir, made, key, chosen.epoch); err != nil {
		return err
	}
	_, err = fmt.Fprintf(m.out, "kairos-build flavor %s --mirror file://%s --mirror security=file://%s\n",
		filepath.Join(m.dir, "flavor"), filepath.Join(m.dir, mainMirror), filepath.Join(m.dir, securityMirror))
	return err
}
