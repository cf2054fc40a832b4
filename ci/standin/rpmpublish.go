// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/kairos-build/kairos-build/flavors"
)

// publish makes the packages and their repositories, signed. ids are the repositories of the
// flavor; each is a folder below dir.
func (p *rpmPlan) publish(ctx context.Context, dir string, all []rpmPackage, ids []string, key *signingKey, at time.Time) error {
	packages, err := buildRPMs(ctx, all, filepath.Join(dir, "build"), at)
	if err != nil {
		return err
	}
	var paths []string
	for _, made := range all {
		to := filepath.Join(dir, p.repository(made.Name, ids), "Packages", made.Name+"-"+made.Version+"-"+made.Release+"."+made.arch()+".rpm")
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Link(packages[made.Name], to)); err != nil {
			return err
		}
		paths = append(paths, to)
	}
	if err := key.signRPMs(ctx, paths); err != nil {
		return err
	}
	for _, id := range ids {
		if err := index(ctx, filepath.Join(dir, id), key, at); err != nil {
			return fmt.Errorf("the repository %s: %w", id, err)
		}
	}
	return nil
}

func (p rpmPackage) arch() string {
	if p.Noarch {
		return "noarch"
	}
	return "x86_64"
}

// repository is the one that a package is in.
func (p *rpmPlan) repository(name string, ids []string) string {
	for _, id := range ids {
		if slices.Contains(p.Repositories[id], name) {
			return id
		}
	}
	return ids[0]
}

// index lets createrepo_c index a repository, and signs its repomd.xml.
func index(ctx context.Context, dir string, key *signingKey, at time.Time) error {
	if err := os.MkdirAll(filepath.Join(dir, "Packages"), 0o755); err != nil {
		return err
	}
	revision := strconv.FormatInt(at.Unix(), 10)
	if out, err := exec.CommandContext(ctx, "createrepo_c", "--quiet", "--revision", revision, "--set-timestamp-to-revision", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("createrepo_c: %w: %s", err, bytes.TrimSpace(out))
	}
	file := filepath.Join(dir, "repodata", "repomd.xml")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var signature bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&signature, key.entity, bytes.NewReader(data), nil); err != nil {
		return err
	}
	return os.WriteFile(file+".asc", signature.Bytes(), 0o644)
}

// signRPMs lets rpmsign, with gpg, sign packages in their headers.
func (k *signingKey) signRPMs(ctx context.Context, paths []string) (err error) {
	home, err := os.MkdirTemp("", "standin-gpg")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	var private bytes.Buffer
	if err := k.entity.SerializePrivateWithoutSigning(&private, nil); err != nil {
		return err
	}
	program, err := exec.LookPath("gpg")
	if err != nil {
		return fmt.Errorf("rpmsign needs gpg: apt install gnupg: %w", err)
	}
	gpg := exec.CommandContext(ctx, program, "--homedir", home, "--batch", "--quiet", "--import")
	gpg.Stdin = &private
	if out, err := gpg.CombinedOutput(); err != nil {
		return fmt.Errorf("gpg --import: %w: %s", err, bytes.TrimSpace(out))
	}
	args := []string{"--define", "__gpg " + program, "--define", "_gpg_path " + home, "--define", "_gpg_name " + k.fingerprint(), "--addsign"}
	if out, err := exec.CommandContext(ctx, "rpmsign", append(args, paths...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("rpmsign: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// makeRPM makes the stand-in for a distribution of rpm packages.
func (m maker) makeRPM(ctx context.Context, p *rpmPlan, key *signingKey) error {
	flavor, err := flavors.Open(filepath.Join(m.flavors, m.name, "flavor.yaml"))
	if err != nil {
		return err
	}
	var ids []string
	for _, r := range flavor.Base.Archive.Repositories {
		ids = append(ids, r.ID)
	}
	chosen, paths, err := m.download(ctx, p)
	if err != nil {
		return err
	}
	for _, old := range append([]string{"unpacked", "build"}, ids...) {
		if err := os.RemoveAll(filepath.Join(m.dir, old)); err != nil {
			return err
		}
	}
	all, err := p.unpack(ctx, chosen, paths, filepath.Join(m.dir, "unpacked"))
	if err != nil {
		return err
	}
	if err := p.publish(ctx, m.dir, all, ids, key, chosen.epoch); err != nil {
		return err
	}
	fmt.Fprintf(m.out, "kairos-build flavor %s", filepath.Join(m.dir, "flavor"))
	for _, id := range ids {
		fmt.Fprintf(m.out, " --mirror %s=file://%s", id, filepath.Join(m.dir, id))
	}
	_, err = fmt.Fprintln(m.out)
	return err
}
