// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// rpmPackages are what mkosi needs besides, to make a disk of rpm packages.
const rpmPackages = ",dnf,rpm,distribution-gpg-keys,xfsprogs"

// rpmRivals are mkosi on a Debian where somebody has installed dnf and rpm, and mkosi that makes a
// tree with them for itself, as kairos-build does.
func (b *bench) rpmRivals() []rpmRival {
	return []rpmRival{
		{name: "mkosi", tree: debianTree{suite: suite, with: "rpm-", packages: mkosiPackages + rpmPackages},
			note: "mkosi runs in a Debian 13 tree with dnf and rpm, made beforehand,"},
		{name: "mkosi with its tools tree", tree: stable,
			tools: []string{"[Build]", "ToolsTree=default", "ToolsTreeDistribution=debian", "ToolsTreeRelease=" + suite, "ToolsTreeSandboxTrees=" + toolsSandbox},
			files: map[string]string{toolsSandbox + aptSources: b.mirrors.sources()},
			note:  "mkosi runs in a Debian 13 tree without dnf and makes a tools tree of its own (`ToolsTree=default`, of Debian 13),"},
	}
}

type rpmRival struct {
	name  string
	tree  debianTree
	tools []string          // of mkosi.conf
	files map[string]string // of its tools tree
	note  string
}

// armoredKey is the path at which the repositories' server has the key as text: rpm imports no
// other form.
const armoredKey = "/key.asc"

// rpm builds the stand-in for an rpm distribution from nothing, by turns with mkosi. Both take
// the packages from a server on loopback.
func (b *bench) rpm(ctx context.Context) (all []Result, err error) {
	flavor, err := flavors.Open(filepath.Join(b.standin, "flavor"))
	if err != nil {
		return nil, fmt.Errorf("the stand-in: %w; run `make bench`", err)
	}
	server, url, err := b.serveStandin(ctx, flavor.Base.Archive.Keyring)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	args := []string{filepath.Join(b.standin, "flavor"), "--mirror", b.mirrors.main} // the toolbox is a Debian
	for _, r := range flavor.Base.Archive.Repositories {
		args = append(args, "--mirror", r.ID+"="+url+"/"+r.ID)
	}
	for _, rival := range b.rpmRivals() {
		r := Result{
			What: "cold `flavor` of the stand-in for " + flavor.Title + " to `disk.raw`, empty caches", Unit: "s", RivalName: rival.name, Goal: 0.5,
			Note: fmt.Sprintf(rpmNote, rival.note),
		}
		other, rivalErr := b.newRPMMkosi(ctx, flavor, url, rival)
		var steps string
		turnsErr := b.byTurns(&r, rivalErr,
			func() (j job, err error) {
				j, steps, err = b.fromNothing(ctx, args...)
				return j, err
			},
			func() (job, error) { return other.build(ctx) })
		r.Note += steps
		all, err = append(all, r), errors.Join(err, turnsErr)
	}
	return all, err
}

const rpmNote = "A new empty state folder and output folder each time: the toolbox with dnf and rpm is unpacked from Debian's archive, too. " +
	"%s with an empty package cache and workspace each time; the same repositories of the " +
	"[stand-in](standins.md) on loopback, the flavor's packages and kernel, `Format=disk`. It makes no initrd and no boot loader (`Bootable=no`): the stand-in has no systemd-boot."

// serveStandin serves the folder of the stand-in, and its key.
func (b *bench) serveStandin(ctx context.Context, keyring string) (*http.Server, string, error) {
	data, err := os.ReadFile(filepath.Join(b.standin, "flavor", keyring))
	if err != nil {
		return nil, "", err
	}
	key, err := armored(data)
	if err != nil {
		return nil, "", fmt.Errorf("the key of the stand-in: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(b.standin)))
	mux.HandleFunc(armoredKey, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(key) // who does not get it says so
	})
	server, address, err := onLoopback(ctx, mux)
	if err != nil {
		return nil, "", fmt.Errorf("serving the stand-in: %w", err)
	}
	return server, "http://" + address, nil
}

// armored returns public keys as text.
func armored(keyring []byte) ([]byte, error) {
	if bytes.HasPrefix(keyring, []byte("-----")) {
		return keyring, nil
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(keyring)
	err = errors.Join(err, w.Close())
	return text.Bytes(), err
}

// newRPMMkosi prepares the rival that builds the stand-in.
func (b *bench) newRPMMkosi(ctx context.Context, flavor *flavors.Flavor, url string, r rpmRival) (*mkosi, error) {
	choice, err := recipes.Choose(flavor, recipes.Options{Arch: arch})
	if err != nil {
		return nil, err
	}
	root, err := b.mkosiTree(ctx, r.tree)
	if err != nil {
		return nil, err
	}
	files := map[string]string{sandbox + "/etc/yum.repos.d/mkosi.repo": rpmSources(flavor, url)}
	maps.Copy(files, r.files)
	return &mkosi{b: b, root: root, config: rpmConfig(choice, r.tools), files: files}, nil
}

// rpmConfig returns a mkosi.conf for the packages of the disk that kairos-build makes.
func rpmConfig(c recipes.Choice, tools []string) string {
	return mkosiConf(slices.Concat(c.Flavor.Base.Archive.Base(), installed(c)),
		append([]string{"Distribution=" + c.Flavor.ID, "Release=" + c.Flavor.Release}, tools...),
		[]string{"Bootable=no", "SELinuxRelabel=no", "WithRecommends=no"})
}

// rpmSources returns the repositories at a server for dnf.
func rpmSources(flavor *flavors.Flavor, url string) string {
	var b strings.Builder
	for _, r := range flavor.Base.Archive.Repositories {
		fmt.Fprintf(&b, "[%s]\nname=%s\nbaseurl=%s/%s\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=%s\n\n", r.ID, r.ID, url, r.ID, url+armoredKey)
	}
	return b.String()
}
