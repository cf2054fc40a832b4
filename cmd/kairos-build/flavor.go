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

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
)

func newFlavor() *cobra.Command {
	var o factory.Options
	var talk talkFlags
	var eng engineFlags
	var kube kubernetesFlags
	var how publishFlags
	var target, policyFile string
	var mirror []string
	var asJSON, noLock bool
	cmd := &cobra.Command{
		Use:   "flavor NAME|FILE",
		Short: "Build a flavor: an OCI image and a bootable disk",
		Long: `Builds a flavor from its distribution's signed archive into an OCI image, and
writes a bootable disk from that image. The output folder gets image/ (an OCI
layout), disk.raw (sparse) and build.json (see docs/build-json.md).

NAME is a built-in flavor, FILE one of your own (see docs/flavors.md).

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

Outputs appear when they are complete; until then, those of the last build stay.
Building again with nothing changed takes a moment and changes nothing.`,
		Example: `  kairos-build flavor debian-13 --sign new
  kairos-build flavor debian-13 --version v1.4.0 --push registry.example.org/edge/debian --sign release.key
  kairos-build flavor debian-13 --sign keyless --policy policy.yaml
  kairos-build flavor debian-13 -o /srv/images/edge --cloud-config site.yaml --version v1.4.0
  kairos-build flavor debian-13 --k3s v1.34
  kairos-build flavor debian-13 --k0s v1.34.1+k0s.0 --airgap --mirror k0s=file:///srv/mirror/k0s
  kairos-build flavor debian-12 --model cloud --artifact image --json
  kairos-build flavor debian-13 --artifact image,raw,qcow2,vmdk,azure
  kairos-build flavor debian-13 --compress zst
  kairos-build flavor ./edge/flavor.yaml --lock edge/july.lock.yaml
  kairos-build flavor debian-13 --no-lock
  kairos-build flavor debian-13 --slot-size 6G --recovery-size 4G
  kairos-build flavor debian-13 --mirror http://mirror.example.org/debian --mirror security=http://mirror.example.org/debian-security
  BUILDKIT_HOST=tcp://builder:1234 kairos-build flavor debian-13`,
		Args:              commandline.Args(cobra.ExactArgs(1)),
		ValidArgsFunction: completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			builder, state, err := eng.options()
			if err != nil {
				return err
			}
			if err := how.check(); err != nil {
				return commandline.Usagef(cmd, "%w", err)
			}
			if o.Lock, err = lockOf(args[0], o.Lock, noLock); err != nil {
				return commandline.Usagef(cmd, "%w", err)
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := setSources(&o, state, mirror, kube, t.log); err != nil {
				return t.close(commandline.UsageError{Err: err})
			}
			if err := warnUnproven(args[0], t.log); err != nil {
				return t.close(err)
			}
			o.Flavor, o.State, o.Progress, o.Log = args[0], state, t, t.log
			o.Builder, o.Program = engine.Builder{Options: builder}, payload.Program
			trust := truster{how: &how, target: target, policy: policyFile, desk: newDesk(cmd, t)}
			trust.desk.state = func() (string, error) { return state, nil }
			o.Trust, o.Signed = trust.open, how.sign != ""
			o.Publish = how.opener(target, t, func() *notary.Notary { return trust.signer })
			o.Maker = evidence.This(version)
			o.Maker.Remote = builder.Builder != ""
			result, err := factory.Build(cmd.Context(), o)
			if err := t.close(err); err != nil {
				return err
			}
			if trust.signer != nil {
				result.Signer = trust.signer.Signer.Who()
			}
			return printResult(cmd.OutOrStdout(), result, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Dir, "output", "o", "", "output `folder` (default out/NAME)")
	flags.StringArrayVar(&o.CloudConfigs, "cloud-config", nil, "cloud-config `file` for the disk's /oem; may be repeated")
	compatFlag(flags, &o.Configs)
	sizeFlags(flags, &o.Sizes)
	flags.StringSliceVar(&o.Artifacts, "artifact", factory.DefaultArtifacts(), "what to make: "+strings.Join(factory.Artifacts(), ", "))
	flags.StringVar(&o.Compress, "compress", "", compressHelp())
	flags.StringVar(&o.Model, "model", "generic", "kind of machine: generic or cloud")
	flags.StringArrayVar(&o.MountPoints, "mount-point", nil, "`directory` that the image has, for a mount; may be repeated (see docs/data.md)")
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture, as Go names it")
	mirrorFlag(flags, &mirror)
	flags.StringVar(&o.Lock, "lock", "", "lock `file` to build from (default: the flavor's, if there is one)")
	flags.BoolVar(&noLock, "no-lock", false, "build from the archive as it is now, even if the flavor has a lock")
	flags.StringVar(&o.Base, "base", "", "image to start from in place of the archive: OCI layout, OCI archive or registry `reference`")
	flags.StringVar(&o.Version, "version", version, "version of the image, a semantic version")
	flags.BoolVar(&asJSON, "json", false, "print build.json on stdout")
	flags.StringVar(&target, "push", "", "publish the image in `REPO[:TAG]`, see \"kairos-build push --help\"")
	flags.StringVar(&policyFile, "policy", "", "`file` with the policy of the image's nodes, see docs/trust.md (default: trust the key of --sign)")
	how.add(flags)
	kube.add(flags)
	eng.add(flags)
	talk.add(flags)
	commandline.Complete(cmd, "artifact", factory.Artifacts())
	commandline.Complete(cmd, "compress", factory.Compressions())
	commandline.Complete(cmd, "model", []string{"generic", "cloud"})
	commandline.Complete(cmd, "arch", []string{"amd64"})
	return cmd
}

// completeFlavors offers the built-in flavors that are not named yet.
func completeFlavors(_ *cobra.Command, named []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(flavors.Names(), func(name string) bool { return slices.Contains(named, name) })
	return names, cobra.ShellCompDirectiveDefault // files, too: a flavor of one's own
}

// warnUnproven says if nothing of a built-in flavor was booted from its own archive.
func warnUnproven(ref string, log *slog.Logger) error {
	if flavors.IsPath(ref) || !slices.Contains(flavors.Names(), ref) {
		return nil
	}
	proven, err := flavors.Proven(ref)
	if err != nil {
		return err
	}
	if state := proven.State(); state != flavors.StateBooted {
		log.Warn("no image from the archive of this flavor was booted: test it before you use it (kairos-build test)", "flavor", ref, "state", state)
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
func setSources(o *factory.Options, state string, mirror []string, kube kubernetesFlags, log *slog.Logger) error {
	flags, env := sortMirrors(mirror), sortMirrors(strings.Fields(os.Getenv(archive.EnvMirror)))
	var aptErr, kubeErr error
	o.Families, aptErr = families(state, flags, env, log)
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
