// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/ci/acceptance"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/releaseflow"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
	"github.com/kairos-build/kairos-build/framework/source/channel"
	"github.com/kairos-build/kairos-build/framework/source/reference"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A releaser does the steps of a release.
type releaser struct {
	*releaseFlags
	*talker
	cmd        *cobra.Command
	now        func() time.Time
	engine     engine.Options // the only one, or the first of the pool
	pool       *engine.Pool   // nil: one image is built at a time
	state      string
	notary     *notary.Notary                // nil: nothing is signed
	publishers map[string]*publish.Publisher // by repository
	// build makes an image. Default factory.Build.
	build func(context.Context, factory.Options) (*factory.Result, error)
}

// prepare checks what can be checked before anything is built: who signs, and the registries.
func (r *releaser) prepare(ctx context.Context, images []releaseflow.Image) (err error) {
	if err := errors.Join(r.checkMirrors(images), r.findBuilders(ctx, images)); err != nil {
		return err
	}
	if r.how.sign != "" {
		desk := newDesk(r.cmd, r.talker)
		if r.notary, err = r.how.signer.open(ctx, r.how.sign, desk); err != nil {
			return err
		}
		if err := r.notary.Signer.SignsFiles(); err != nil {
			return err
		}
	}
	r.publishers = map[string]*publish.Publisher{}
	for _, i := range images {
		if r.reaches(releaseflow.Push) && r.publishers[i.Repository] == nil {
			o := r.how.options(i.Repository, r.talker)
			o.Carry, o.IsSignature = true, notary.IsSignature
			setSigner(&o, r.notary)
			if r.publishers[i.Repository], err = publish.Open(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// findBuilders asks several builders what they can do, and takes a single one as it is.
func (r *releaser) findBuilders(ctx context.Context, images []releaseflow.Image) error {
	list, state, err := r.eng.all()
	if err != nil {
		return err
	}
	r.engine, r.state = list[0], state
	if len(images) > 1 {
		for _, to := range r.eng.cacheTo {
			if !strings.Contains(to, imageInCache) {
				return commandline.UsageError{Err: fmt.Errorf("--cache-to %s: each of %d images would replace what the one before has written: write %s into its name", to, len(images), imageInCache)}
			}
		}
	}
	for i := range list {
		list[i].Log = r.log
	}
	switch {
	case len(list) > 1:
		r.pool, err = engine.NewPool(ctx, r.log, list)
	case r.atOnce() > 1:
		r.pool = engine.Share(r.log, list[0], r.atOnce())
	}
	return err
}

// imageInCache is replaced by the image's name in --cache-to and --cache-from.
const imageInCache = "{image}"

// Key implements releaseflow.Steps: the digest of what the image is made from.
func (r *releaser) Key(i releaseflow.Image) (string, error) {
	flavor, err := flavors.Open(i.Flavor)
	if err != nil {
		return "", commandline.UsageError{Err: err}
	}
	facts := []string{programID(), r.version, i.Flavor, i.Architecture, i.Model, i.Kubernetes, strings.Join(r.artifacts, ","), strings.Join(r.mirror, " "), "sign " + r.how.sign, i.Repository}
	for _, s := range flavor.Sources() {
		facts = append(facts, s.Digest)
	}
	files := append(slices.Concat(flavor.Default.CloudConfigs, r.configs), r.how.sign, r.policy)
	if lock, err := lockOf(i.Flavor, "", r.noLock); err == nil {
		files = append(files, lock)
	}
	for _, o := range flavor.Added.Overlays {
		files = append(files, o.Dir)
	}
	for _, name := range files {
		sum, err := digestOfFiles(name)
		if err != nil {
			return "", err
		}
		facts = append(facts, sum)
	}
	text, err := json.Marshal(facts)
	return fmt.Sprintf("sha256:%x", sha256.Sum256(text)), err
}

// digestOfFiles is the digest of a file, or of all files below a folder; empty for what is
// neither, such as a reference to a key service.
func digestOfFiles(name string) (string, error) {
	if _, err := os.Stat(name); err != nil {
		return "", nil //nolint:nilerr // the build says if it needs it
	}
	h := sha256.New()
	err := filepath.WalkDir(name, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			fmt.Fprintf(h, "%q link %q\n", path, target)
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(h, "%q %t %x\n", path, info.Mode()&0o111 != 0, sha256.Sum256(data))
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// programID identifies this program, with the programs of the nodes in it: the build ID that
// the linker made of its content.
func programID() string {
	path, err := os.Executable()
	if err != nil {
		return version
	}
	f, err := elf.Open(path)
	if err != nil {
		return version
	}
	defer f.Close()
	if note := f.Section(".note.go.buildid"); note != nil {
		if data, err := note.Data(); err == nil {
			return fmt.Sprintf("%x", sha256.Sum256(data))
		}
	}
	return version
}

// Built implements releaseflow.Steps.
func (r *releaser) Built(i releaseflow.Image) string { return factory.BuiltImage(i.Folder) }

// Build implements releaseflow.Steps.
func (r *releaser) Build(ctx context.Context, i releaseflow.Image) (digest string, err error) {
	if r.pool == nil {
		return r.buildOn(ctx, i, r.engine, talking{r.talker})
	}
	err = r.pool.Do(ctx, "linux/"+i.Architecture, func(o engine.Options) (err error) {
		report := prefixed{talking{r.talker}, i.Name + ": "}
		if o.Builder != "" {
			report.Step("on builder "+o.Builder).Done(false, nil)
		}
		digest, err = r.buildOn(ctx, i, o, report)
		return err
	})
	return digest, err
}

// buildOn builds an image on one builder.
func (r *releaser) buildOn(ctx context.Context, i releaseflow.Image, eng engine.Options, report progress.Reporter) (string, error) {
	eng.CacheFrom, eng.CacheTo = ofImage(eng.CacheFrom, i.Name), ofImage(eng.CacheTo, i.Name)
	flavor, err := flavors.Open(i.Flavor)
	if err != nil {
		return "", commandline.UsageError{Err: err}
	}
	lock, err := lockOf(i.Flavor, "", r.noLock)
	if err != nil {
		return "", err
	}
	o := factory.Options{
		Flavor: i.Flavor, Dir: i.Folder, Lock: lock, Arch: i.Architecture, Model: i.Model, Version: r.versionOrOwn(),
		CloudConfigs: slices.Concat(flavor.Default.CloudConfigs, r.configs), Artifacts: factory.ForSigning(r.artifacts),
		State: r.state, Progress: report, Log: r.log, Builder: engine.Builder{Options: eng, Platform: "linux/" + i.Architecture}, Program: payload.Program,
		Maker: evidence.This(version), Trust: func(context.Context) (factory.Trust, error) { return r.trust(i) },
	}
	o.Maker.Remote = eng.Builder != ""
	if err := setSources(&o, r.state, eng, mirrorsOf(r.mirror, i, flavor), kubernetesOf(i, flavor), r.log); err != nil {
		return "", commandline.UsageError{Err: err}
	}
	build := r.build
	if build == nil {
		build = factory.Build
	}
	result, err := build(ctx, o)
	if err != nil {
		return "", err
	}
	if result.Image == nil {
		return "", commandline.UsageError{Err: errors.New("--artifact leaves out the image, which is what is released: name image there, too")}
	}
	return result.Image.Digest, nil
}

// talking is the reporter of the whole release: a build does not end it.
type talking struct{ progress.Reporter }

// Close implements progress.Reporter.
func (talking) Close() error { return nil }

// prefixed puts the name of an image before the steps of its build.
type prefixed struct {
	progress.Reporter
	prefix string
}

// Step implements progress.Reporter.
func (p prefixed) Step(name string) progress.Step { return p.Reporter.Step(p.prefix + name) }

// ofImage are the caches of one image.
func ofImage(caches []string, name string) (list []string) {
	for _, c := range caches {
		list = append(list, strings.ReplaceAll(c, imageInCache, name))
	}
	return list
}

func (r *releaser) versionOrOwn() string {
	if r.version != "" {
		return r.version
	}
	return version
}

// kubernetesOf is the Kubernetes of an image.
func kubernetesOf(i releaseflow.Image, flavor *flavors.Flavor) (k kubernetesFlags) {
	switch name, version, _ := strings.Cut(i.Kubernetes, " "); name {
	case "k3s":
		k.k3s, k.airgap = version, flavor.Default.Airgap
	case "k0s":
		k.k0s, k.airgap = version, flavor.Default.Airgap
	}
	return k
}

// mirrorsOf are the mirrors of what an image is made from: those of other images' Kubernetes and
// repositories are left out.
func mirrorsOf(values []string, i releaseflow.Image, flavor *flavors.Flavor) (list []string) {
	distribution, _, _ := strings.Cut(i.Kubernetes, " ")
	for _, value := range values {
		m := sortMirrors([]string{value})
		_, mine := m.kubernetes[release.Distribution(distribution)]
		if len(m.repositories) > 0 {
			id, _, _ := strings.Cut(value, "=")
			mine = slices.ContainsFunc(flavor.Base.Archive.Repositories, func(r flavors.Repository) bool { return r.ID == id })
		}
		if mine || len(m.archive) > 0 {
			list = append(list, value)
		}
	}
	return list
}

// checkMirrors refuses a mirror that no image has a use for.
func (r *releaser) checkMirrors(images []releaseflow.Image) error {
	used := map[string]bool{}
	for _, i := range images {
		flavor, err := flavors.Open(i.Flavor)
		if err != nil {
			return commandline.UsageError{Err: err}
		}
		for _, value := range mirrorsOf(r.mirror, i, flavor) {
			used[value] = true
		}
	}
	for _, value := range r.mirror {
		if !used[value] {
			return commandline.UsageError{Err: fmt.Errorf("--mirror %s: none of the %d images is made from that; leave it out, or select an image that is", value, len(images))}
		}
	}
	return nil
}

// trust is the policy of the image. It is signed after its test, not while it is built.
func (r *releaser) trust(i releaseflow.Image) (factory.Trust, error) {
	t := truster{how: &r.how, target: i.Repository, policy: r.policy, desk: newDesk(r.cmd, r.talker), signer: r.notary}
	own, files, err := t.own()
	if err != nil {
		return factory.Trust{}, err
	}
	list, err := t.files(own, files)
	return factory.Trust{Policy: list}, err
}

// Planned implements releaseflow.Steps.
func (r *releaser) Planned(ctx context.Context, i releaseflow.Image) (string, error) {
	planned, _, err := r.publishers[i.Repository].Planned(ctx, i.Folder)
	if planned == nil {
		return "", err
	}
	return planned.Reference, err
}

// Test implements releaseflow.Steps.
func (r *releaser) Test(ctx context.Context, i releaseflow.Image) (t releaseflow.Tested, err error) {
	o := acceptance.Options{Machines: r.machines, Short: r.test == testShort, Resume: true}
	o.Dir = i.Folder
	if o.Boots, err = chooseBoots(r.boots); err != nil {
		return t, err
	}
	made, err := watchTest(ctx, o, r.talk.progress, r.cmd.ErrOrStderr())
	if made == nil || err != nil {
		return t, err
	}
	attest := attestFlags{on: true}
	proof := acceptance.Proof(made)
	return releaseflow.Tested{
		Digest: proof.Image, Passed: made.Passed, Checks: proof.Checks, Date: proof.Date,
		Report: filepath.Join(i.Folder, "test.json"), JUnit: filepath.Join(i.Folder, "test.xml"),
	}, attest.write(i.Folder, made)
}

// Sign implements releaseflow.Steps.
func (r *releaser) Sign(ctx context.Context, i releaseflow.Image) (string, error) {
	r.notary.Repository = i.Repository
	if _, err := r.notary.SignLayout(ctx, filepath.Join(i.Folder, "image")); err != nil {
		return "", err
	}
	files, err := factory.SignedFiles(i.Folder)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if _, err := r.notary.SignDigest(ctx, f.Path, f.Digest); err != nil {
			return "", err
		}
	}
	return r.notary.Signer.Who(), nil
}

// Push implements releaseflow.Steps.
func (r *releaser) Push(ctx context.Context, i releaseflow.Image) (p releaseflow.Pushed, sent bool, err error) {
	ref, err := r.Planned(ctx, i)
	if err != nil {
		return p, false, err
	}
	before, err := r.publishers[i.Repository].Tagged(ctx, tagOf(ref))
	if err != nil {
		return p, false, err
	}
	made, err := r.publishers[i.Repository].Publish(ctx, i.Folder)
	if err != nil {
		return p, false, err
	}
	sent = made.Bytes.Sent > 0 || before != made.Digest || slices.ContainsFunc(made.Attached, func(a publish.Attached) bool { return !a.Present })
	return releaseflow.Pushed{Digest: made.Digest, Reference: made.Reference}, sent, nil
}

// tagOf is the tag of REGISTRY/NAME:TAG.
func tagOf(ref string) string { return ref[strings.LastIndexByte(ref, ':')+1:] }

// Promote implements releaseflow.Steps.
func (r *releaser) Promote(ctx context.Context, i releaseflow.Image, p releaseflow.Pushed, name string) (releaseflow.Channel, bool, error) {
	image, err := reference.ParseTag(tagOf(p.Reference))
	if err != nil {
		return releaseflow.Channel{}, false, err
	}
	return releaseflow.Promotion{
		Publisher: r.publishers[i.Repository], Notary: r.notary, Channel: name, Kind: channel.Kind(image), Version: image.Version,
		Digest: p.Digest, Downgrade: r.down, Now: r.now,
	}.Do(ctx)
}
