// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/site"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
)

// flavorFlags are the flags of the verbs that build an image.
type flavorFlags struct {
	factory.Options
	talk               talkFlags
	eng                engineFlags
	kube               kubernetesFlags
	how                publishFlags
	target, policyFile string
	mirror, files      []string
	asJSON, noLock     bool
}

func newFlavor() *cobra.Command {
	var f flavorFlags
	cmd := &cobra.Command{
		Use:   "flavor NAME|FOLDER|FILE...",
		Short: "Build a flavor: an OCI image and a bootable disk",
		Long: `Builds a flavor from its distribution's signed archive into an OCI image, and
writes a bootable disk from that image. The output folder gets image/ (an OCI
layout), disk.raw (sparse) and build.json (see docs/build-json.md).

NAME is a built-in flavor; FOLDER is one of your own, which "kairos-build init" begins
(see docs/site.md). FILE is a complete flavor (see docs/flavors.md).

--package, --file, --overlay and --run add to the image without a folder of your own.
No step of a build has a network: --run can use what is in the image only.

If the flavor has a lock, the image is made from the packages, the Kubernetes and the
base image in it: see "kairos-build lock --help".

With --k3s or --k0s the image has a Kubernetes, which the configuration of a node
starts (see docs/kubernetes.md).

With --sign the image is signed, and its nodes install upgrades only if this key signed
them: the image has a policy, /etc/kairos/policy.yaml, that trusts the key. --policy puts a
policy of your own into the image. Without one, its nodes refuse every upgrade. See
docs/trust.md.

With --push the image is published, too, as "kairos-build push" does it (see
docs/publish.md). The registry, the credentials and the key are checked before the build.

Several flavors are built side by side, each into a folder of its own. They share what they
have in common. "kairos-build release" signs, tests and publishes several.

Outputs appear when they are complete; until then, those of the last build stay.
Building again with nothing changed takes a moment and changes nothing.`,
		Example: `  kairos-build flavor debian-13 --sign new
  kairos-build flavor ./mysite
  kairos-build flavor debian-13 --package htop --file motd:/etc/motd --run sync --overlay files
  kairos-build flavor debian-13 --version v1.4.0 --push registry.example.org/edge/debian --sign release.key
  kairos-build flavor debian-13 --sign keyless --policy policy.yaml
  kairos-build flavor debian-13 -o /srv/images/edge --cloud-config site.yaml --version v1.4.0
  kairos-build flavor debian-13 --k3s v1.34
  kairos-build flavor debian-13 --k0s v1.34.1+k0s.0 --airgap --mirror k0s=file:///srv/mirror/k0s
  kairos-build flavor debian-12 debian-13 ./mysite --artifact image,qcow2
  kairos-build flavor debian-12 --model cloud --artifact image --json
  kairos-build flavor debian-13 --artifact image,raw,qcow2,vmdk,azure
  kairos-build flavor debian-13 --compress zst
  kairos-build flavor ./edge/flavor.yaml --lock edge/july.lock.yaml
  kairos-build flavor debian-13 --no-lock
  kairos-build flavor debian-13 --slot-size 6G --recovery-size 4G
  kairos-build flavor debian-13 --mirror http://mirror.example.org/debian --mirror security=http://mirror.example.org/debian-security
  BUILDKIT_HOST=tcp://builder:1234 kairos-build flavor debian-13`,
		Args:              commandline.Args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return f.buildAll(cmd, args)
			}
			flavor, err := f.choose(cmd, args[0])
			if err != nil {
				return err
			}
			return f.build(cmd, flavor)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.Base, "base", "", "image to start from in place of the archive: OCI layout, OCI archive or registry `reference`")
	cmd.Flags().StringVar(&f.Lock, "lock", "", "lock `file` to build from (default: the flavor's, if there is one)")
	cmd.Flags().BoolVar(&f.noLock, "no-lock", false, "build from the archive as it is now, even if the flavor has a lock")
	return cmd
}

// choose opens a flavor, and takes what it says as the options of the build.
func (f *flavorFlags) choose(cmd *cobra.Command, ref string) (*flavors.Flavor, error) {
	flavor, err := flavors.Open(ref)
	if err != nil {
		return nil, commandline.UsageError{Err: err}
	}
	f.Flavor = ref
	f.takeDefaults(cmd, flavor)
	if f.Lock, err = lockOf(ref, f.Lock, f.noLock); err != nil {
		return nil, commandline.Usagef(cmd, "%w", err)
	}
	return flavor, nil
}

// takeDefaults uses what a flavor says of the options that no flag names. The cloud-configs
// of the flavor are before those of flags.
func (f *flavorFlags) takeDefaults(cmd *cobra.Command, flavor *flavors.Flavor) {
	d, flags := flavor.Default, cmd.Flags()
	if d.Model != "" && !flags.Changed("model") {
		f.Model = d.Model
	}
	f.kube.takeDefaults(d)
	f.CloudConfigs = slices.Concat(d.CloudConfigs, f.CloudConfigs)
}

// build builds the flavor that the options name, and prints the result.
func (f *flavorFlags) build(cmd *cobra.Command, flavor *flavors.Flavor) error {
	if err := f.how.check(); err != nil {
		return commandline.Usagef(cmd, "%w", err)
	}
	t, err := f.talk.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	result, err := f.make(cmd, flavor, t, t)
	if err := t.close(err); err != nil {
		return err
	}
	return printResult(cmd.OutOrStdout(), result, f.asJSON)
}

// make builds the flavor that the options name.
func (f *flavorFlags) make(cmd *cobra.Command, flavor *flavors.Flavor, t *talker, report progress.Reporter) (*factory.Result, error) {
	builder, state, err := f.eng.options()
	if err != nil {
		return nil, err
	}
	if f.Files, err = parseFiles(f.files); err != nil {
		return nil, commandline.UsageError{Err: err}
	}
	if err := setSources(&f.Options, state, builder, f.mirror, f.kube, t.log); err != nil {
		return nil, commandline.UsageError{Err: err}
	}
	if err := warnUnproven(f.Flavor, f.Arch, t.log); err != nil {
		return nil, err
	}
	if note := flavor.SupportNote(time.Now()); note != "" { //nolint:forbidigo // a release ends on a day
		t.log.Warn(fmt.Sprintf("%s: its %s; faults that are found later stay in the image: choose a newer release (`kairos-build list`)", flavor.Title, note))
	}
	f.State, f.Progress, f.Log = state, report, t.log
	f.Builder, f.Program = engine.Builder{Options: builder, Platform: "linux/" + f.Arch}, payload.Program
	trust := truster{how: &f.how, target: f.target, policy: f.policyFile, desk: newDesk(cmd, t)}
	trust.desk.state = func() (string, error) { return state, nil }
	f.Trust, f.Signed = trust.open, f.how.sign != ""
	f.Publish = f.how.opener(f.target, t, func() *notary.Notary { return trust.signer })
	f.Maker = evidence.This(version)
	f.Maker.Remote = builder.Builder != ""
	result, err := factory.Build(cmd.Context(), f.Options)
	if err == nil && trust.signer != nil {
		result.Signer = trust.signer.Signer.Who()
	}
	return result, err
}

// parseFiles reads the values of --file. The error names every mistake.
func parseFiles(values []string) (files []site.File, _ error) {
	var errs []error
	for _, value := range values {
		file, err := site.ParseFile(value)
		files, errs = append(files, file), append(errs, err)
	}
	return files, errors.Join(errs...)
}

// add adds the flags that both verbs have.
func (f *flavorFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.Dir, "output", "o", "", "output `folder` (default out/NAME; out/NAME-ARCH if not for amd64)")
	flags.StringArrayVar(&f.Packages, "package", nil, "add a `package` of the archive; may be repeated")
	flags.StringArrayVar(&f.files, "file", nil, "copy a file into the image, as `SRC:DST`; may be repeated")
	flags.StringArrayVar(&f.Overlays, "overlay", nil, "copy the files of a `folder` to the same paths in the image; may be repeated")
	flags.StringArrayVar(&f.Run, "run", nil, "run a `command` of sh(1) in the image, without a network; may be repeated")
	flags.StringArrayVar(&f.CloudConfigs, "cloud-config", nil, "cloud-config `file` for the disk's /oem; may be repeated")
	compatFlag(flags, &f.Configs)
	sizeFlags(flags, &f.Sizes)
	flags.StringSliceVar(&f.Artifacts, "artifact", factory.DefaultArtifacts(), "what to make: "+strings.Join(factory.Artifacts(), ", "))
	flags.StringVar(&f.Compress, "compress", "", compressHelp())
	flags.StringVar(&f.Model, "model", "generic", "kind of machine: generic or cloud")
	flags.StringArrayVar(&f.MountPoints, "mount-point", nil, "`directory` that the image has, for a mount; may be repeated (see docs/data.md)")
	flags.StringVar(&f.Arch, "arch", "amd64", "architecture, as Go names it")
	mirrorFlag(flags, &f.mirror)
	flags.StringVar(&f.Version, "version", version, "version of the image, a semantic version")
	flags.BoolVar(&f.asJSON, "json", false, "print build.json on stdout")
	flags.StringVar(&f.target, "push", "", "publish the image in `REPO[:TAG]`, see \"kairos-build push --help\"")
	flags.StringVar(&f.policyFile, "policy", "", "`file` with the policy of the image's nodes, see docs/trust.md (default: trust the key of --sign)")
	f.how.add(flags)
	f.kube.add(flags)
	f.eng.add(flags)
	f.eng.addCache(flags)
	f.talk.add(flags)
	commandline.Complete(cmd, "artifact", factory.Artifacts())
	commandline.Complete(cmd, "compress", factory.Compressions())
	commandline.Complete(cmd, "model", []string{"generic", "cloud"})
	commandline.Complete(cmd, "arch", []string{"amd64", "arm64"})
}

// completeFlavors offers the built-in flavors that are not named yet.
func completeFlavors(_ *cobra.Command, named []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(flavors.Names(), func(name string) bool { return slices.Contains(named, name) })
	return names, cobra.ShellCompDirectiveDefault // files, too: a flavor of one's own
}

// warnUnproven says if nothing of a built-in flavor was booted from its own archive.
func warnUnproven(ref, arch string, log *slog.Logger) error {
	if flavors.IsPath(ref) || !slices.Contains(flavors.Names(), ref) {
		return nil
	}
	proven, err := flavors.Proven(ref, arch)
	if err != nil {
		return err
	}
	if state := proven.State(); state != flavors.StateBooted {
		log.Warn("no image from the archive of this flavor was booted: test it before you use it (kairos-build test)", "flavor", ref, "architecture", arch, "state", state)
	}
	return nil
}

// lockOf is the lock to build from, or empty: the file that --lock names, or the flavor's
// own if there is one.
func lockOf(ref, file string, none bool) (string, error) {
	switch {
	case none && file != "":
		return "", errors.New("--lock and --no-lock: leave one of them out")
	case none || file != "":
		return file, nil
	}
	file = flavors.LockFile(ref)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return file, nil
}

// setSources sets where packages and Kubernetes come from.
func setSources(o *factory.Options, state string, builder engine.Options, mirror []string, kube kubernetesFlags, log *slog.Logger) error {
	flags, env := sortMirrors(mirror), sortMirrors(strings.Fields(os.Getenv(archive.EnvMirror)))
	var aptErr, kubeErr error
	o.Families, aptErr = families(familyOptions{state, builder, flags, env, log})
	o.Kubernetes, kubeErr = kube.finder(state, flags, env, log)
	return errors.Join(aptErr, kubeErr)
}

// printResult prints where the outputs are and what they are.
func printResult(w io.Writer, r *factory.Result, asJSON bool) error {
	if asJSON {
		return commandline.WriteJSON(w, r)
	}
	if r.Image != nil {
		fmt.Fprintf(w, "image  %s  %s\n", filepath.Join(r.Dir, r.Image.Path), r.Image.Digest)
	}
	if r.Signer != "" {
		fmt.Fprintf(w, "signed by %s\n", r.Signer)
	}
	for _, d := range r.Disks {
		fmt.Fprintln(w, diskLine(filepath.Join(r.Dir, d.Path), d))
	}
	if _, err := fmt.Fprintf(w, "facts  %s\n", filepath.Join(r.Dir, "build.json")); err != nil || r.Published == nil {
		return err
	}
	return printPublished(w, r.Published)
}
