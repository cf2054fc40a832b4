// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/matrix"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/releaseflow"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/source/channel"
)

// releaseFlags are the flags of `kairos-build release`.
type releaseFlags struct {
	matrixFlags
	how                              publishFlags
	eng                              engineFlags
	talk                             talkFlags
	output, version, push, until     string
	test, policy                     string
	channels, artifacts, configs     []string
	boots, machines, mirror          []string
	noLock, plan, wait, down, asJSON bool
	builds                           int
}

// Values of --test.
const (
	testFull  = "full"
	testShort = "short"
	testNone  = "none"
)

func newRelease() *cobra.Command {
	var f releaseFlags
	cmd := &cobra.Command{
		Use:   "release [FOLDER|FILE]",
		Short: "Build, test, sign, push and promote the images of a matrix",
		Long: `Releases the images of a matrix (see "kairos-build matrix"): builds each, tests it in QEMU,
signs it, pushes it by its digest, and lets channels name it. Nothing is released but what was
tested: each step is about the digest of the one before.

Every step is done once. Run the same command again after a failure, an interruption or a
reboot, and it goes on where it was; with nothing changed it does nothing. What an image is
made from decides whether it is built again: flavor, lock, version, policy, and this program. How
far each image is stands in release.json in its folder, OUTPUT/NAME.

An image goes to PREFIX/FLAVOR of --push, or to the registry that its flavor names, with its own
name as the tag. --channel lets a channel such as edge name it: a signed pointer that nodes
follow (see docs/release-flow.md). Channels are promoted when all images are pushed, and an
image that was not tested never is.

What can be checked before the build is: the registry and the right to write to it, the key or
the identity token, the space on the disk, and that no other release works in the folder.
--plan shows what would be done, and asks nobody.`,
		Example: `  kairos-build release --plan
  kairos-build release --version v1.4.0 --push registry.example.org/edge --sign release.key --channel edge
  kairos-build release ./mysite --version v1.4.0 --sign keyless --policy policy.yaml --trusted-root trusted_root.json
  kairos-build release --changed-since origin/main --until test --test short
  kairos-build release --flavors debian-13 --no-kubernetes --version v1.4.0 --push registry.example.org/edge --sign release.key --channel stable --json`,
		Args: commandline.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return commandline.Usagef(cmd, "%w", err)
			}
			m, err := openMatrix(args)
			if err != nil {
				return commandline.UsageError{Err: err}
			}
			selected, err := matrix.Select(cmd.Context(), m, f.filter())
			if err != nil {
				return err
			}
			if selected.Why != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "nothing is selected: %s\n", selected.Why)
			}
			result, err := f.release(cmd, selected)
			if result == nil {
				return err
			}
			return errors.Join(f.print(cmd.OutOrStdout(), result), err)
		},
	}
	f.addTo(cmd)
	return cmd
}

func (f *releaseFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.matrixFlags.add(cmd)
	f.how.add(flags)
	flags.StringVarP(&f.output, "output", "o", filepath.Join("out", "release"), "output `folder`; each image has a folder in it")
	flags.StringVar(&f.version, "version", "", "version of the images, a semantic version")
	flags.StringVar(&f.push, "push", "", "where the images go: REGISTRY/`PREFIX`; the flavor's name is added (default: the registry of the flavor)")
	flags.StringSliceVar(&f.channels, "channel", nil, "let a `channel`, such as edge or stable, name the images; may be repeated")
	flags.BoolVar(&f.down, "downgrade", false, "also let a channel name an older version than now")
	flags.StringVar(&f.until, "until", releaseflow.Promote, "the last `step`: "+strings.Join(releaseflow.Order(), ", "))
	flags.StringVar(&f.test, "test", testFull, "how much is tested: full, short, none")
	flags.StringSliceVar(&f.boots, "boot", nil, "test under these firmwares alone: bios, uefi, secureboot")
	flags.StringSliceVar(&f.machines, "machine", nil, "test these `machines` alone, see \"kairos-build test\"")
	flags.StringSliceVar(&f.artifacts, "artifact", factory.DefaultArtifacts(), "what to make: "+strings.Join(factory.Artifacts(), ", "))
	flags.StringArrayVar(&f.configs, "cloud-config", nil, "cloud-config `file` for the /oem of the disks; may be repeated")
	flags.StringVar(&f.policy, "policy", "", "`file` with the policy of the images' nodes, see docs/trust.md (default: trust the key of --sign)")
	flags.BoolVar(&f.noLock, "no-lock", false, "build from the archives as they are now, even if a flavor has a lock")
	flags.BoolVar(&f.plan, "plan", false, "show what would be done, and do nothing")
	flags.BoolVar(&f.wait, "wait", false, "wait for another release in the same folder")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON on stdout")
	mirrorFlag(flags, &f.mirror)
	flags.IntVar(&f.builds, "builds", max(1, runtime.GOMAXPROCS(0)/2), "how many images the engine builds at the same time; several builders build one each")
	f.eng.add(flags)
	f.eng.addCache(flags)
	f.talk.add(flags)
	plain := flags.Lookup("progress") // a live view of the build would be in the way of that of the test
	plain.DefValue, f.talk.progress = progress.Plain, progress.Plain
	commandline.Complete(cmd, "until", releaseflow.Order())
	commandline.Complete(cmd, "test", []string{testFull, testShort, testNone})
	commandline.Complete(cmd, "boot", bootNames())
	commandline.Complete(cmd, "channel", []string{"edge", "stable"})
	commandline.Complete(cmd, "artifact", factory.Artifacts())
}

// atOnce is how many images are built at the same time.
func (f *releaseFlags) atOnce() int {
	if len(f.eng.builders) > 1 {
		return len(f.eng.builders)
	}
	return f.builds
}

// reaches tells whether a step is a part of the release.
func (f *releaseFlags) reaches(step string) bool {
	order := releaseflow.Order()
	return slices.Index(order, step) <= slices.Index(order, f.until)
}

// check refuses contradictions. It names all of them.
func (f *releaseFlags) check() error {
	var errs []error
	refuse := func(wrong bool, text string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(text, args...))
		}
	}
	refuse(!slices.Contains(releaseflow.Order(), f.until), "--until %q: there are %s", f.until, strings.Join(releaseflow.Order(), ", "))
	refuse(!slices.Contains([]string{testFull, testShort, testNone}, f.test), "--test %q: there are full, short, none", f.test)
	for _, name := range f.channels {
		if err := channel.CheckName(name); err != nil {
			errs = append(errs, fmt.Errorf("--channel: %w", err))
		}
	}
	refuse(f.builds < 1, "--builds %d: at least one image is built", f.builds)
	refuse(f.how.unsigned, "--unsigned: a release is signed; `kairos-build push --unsigned` publishes an image that is not")
	refuse(f.test == testNone && len(f.channels) > 0, "--channel and --test none: no channel names an image that was not tested; leave one of them out")
	refuse(!f.plan && f.reaches(releaseflow.Sign) && f.how.sign == "", "who signs? Name a key with --sign FILE (`kairos-build key FILE` makes one), or say --sign keyless; --until test does without")
	refuse(!f.plan && f.reaches(releaseflow.Push) && f.version == "", "which version do the images get? Give --version v1.2.3")
	if _, err := chooseBoots(f.boots); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// scope says what is tested.
func (f *releaseFlags) scope() string {
	if f.test == testNone {
		return ""
	}
	words := []string{f.test}
	for _, part := range []struct {
		name string
		list []string
	}{{"boot", f.boots}, {"machine", f.machines}} {
		if len(part.list) > 0 {
			words = append(words, part.name+"="+strings.Join(part.list, ","))
		}
	}
	return strings.Join(words, " ")
}

// images are those that a selection names.
func (f *releaseFlags) images(s *matrix.Selection) (list []releaseflow.Image, _ error) {
	kinds := map[string]string{}
	for _, c := range s.Cells {
		flavor, err := flavors.Open(c.Flavor)
		if err != nil {
			return nil, commandline.UsageError{Err: err}
		}
		i := releaseflow.Image{
			Name: c.Name, Flavor: c.Flavor, Architecture: c.Architecture, Model: c.Model, Kubernetes: c.Kubernetes,
			Folder: filepath.Join(f.output, c.Name),
		}
		if i.Repository = flavor.Default.Registry; f.push != "" {
			i.Repository = strings.TrimSuffix(f.push, "/") + "/" + flavor.Name
		}
		if i.Repository == "" && f.reaches(releaseflow.Push) && !f.plan {
			return nil, commandline.UsageError{Err: fmt.Errorf("where does %s go? Give --push REGISTRY/PREFIX, or write a registry into its flavor; --until test does without", c.Name)}
		}
		distribution, _, _ := strings.Cut(c.Kubernetes, " ")
		kind := strings.Join([]string{i.Repository, flavor.Name, c.Architecture, c.Model, distribution}, " ")
		if other := kinds[kind]; other != "" && len(f.channels) > 0 && f.reaches(releaseflow.Promote) {
			return nil, commandline.UsageError{Err: fmt.Errorf("--channel %s: a channel names one image for a kind of node, and %s and %s are for the same kind: select one of them, such as with --k3s, or give each its own channel", f.channels[0], other, c.Name)}
		}
		kinds[kind] = c.Name
		list = append(list, i)
	}
	return list, nil
}

// release does it, or plans it. The result may be there beside an error.
func (f *releaseFlags) release(cmd *cobra.Command, s *matrix.Selection) (result *releaseflow.Result, err error) {
	images, err := f.images(s)
	if err != nil {
		return nil, err
	}
	flow := &releaseflow.Flow{Images: images, Until: f.until, Channels: f.channels, Scope: f.scope()}
	steps := &releaser{releaseFlags: f, cmd: cmd, now: time.Now} //nolint:forbidigo // signatures and channels have times
	flow.Steps = steps
	planned, err := flow.Plan()
	if err != nil || f.plan {
		return f.finish(planned), err
	}
	unlock, err := releaseflow.Lock(cmd.Context(), f.output, fmt.Sprintf("process %d, since %s", os.Getpid(), steps.now().Format(time.DateTime)), f.wait)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if steps.talker, err = f.talk.open(cmd.ErrOrStderr()); err != nil {
		return nil, err
	}
	defer func() { err = steps.close(err) }()
	if err := steps.prepare(cmd.Context(), images); err != nil {
		return nil, err
	}
	if err := f.room(images, planned); err != nil {
		return nil, err
	}
	flow.Say = func(image, step, state, note string) {
		steps.Step(strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", image, step, note), ": ")).Done(state == releaseflow.Kept, nil)
	}
	flow.Builders = f.atOnce()
	result, err = flow.Run(cmd.Context())
	return f.finish(result), err
}

// room refuses a release for which the disk has no room.
func (f *releaseFlags) room(images []releaseflow.Image, planned *releaseflow.Result) error {
	var keep []string
	for _, i := range images {
		keep = append(keep, i.Folder)
	}
	return releaseflow.Place{Dir: f.output, Free: releaseflow.Free}.Check(planned.Needs(), keep, "run `kairos-build cache prune`")
}

// finish completes a result with what is in the folders.
func (f *releaseFlags) finish(r *releaseflow.Result) *releaseflow.Result {
	if r == nil {
		return nil
	}
	r.Output, r.Version = f.output, f.version
	for i := range r.Images {
		image := &r.Images[i]
		built, err := factory.ReadResult(image.Folder)
		if err != nil || built.Image == nil || built.Image.Digest != image.Digest {
			continue
		}
		for _, d := range built.Disks {
			image.Disks = append(image.Disks, releaseflow.Disk{Path: filepath.Join(image.Folder, d.Path), Digest: d.SHA256})
		}
	}
	return r
}

func (f *releaseFlags) print(w io.Writer, r *releaseflow.Result) error {
	if f.asJSON {
		return commandline.WriteJSON(w, r)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, i := range r.Images {
		var steps []string
		for _, s := range i.Steps {
			steps = append(steps, s.Step+" "+s.State)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", i.Name, shortDigest(i.Digest), i.Reference, strings.Join(steps, ", "))
	}
	for _, i := range r.Images {
		for _, c := range i.Channels {
			fmt.Fprintf(table, "%s\t%s\t%s\tchannel %s, sequence %d\n", i.Name, shortDigest(c.Digest), c.Reference, c.Name, c.Sequence)
		}
	}
	return table.Flush()
}

// interruptedRelease tells whether the release was ended from outside.
func interruptedRelease(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, releaseflow.ErrInterrupted)
}
