// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
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
	var mirror []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "flavor NAME",
		Short: "Build a flavor: an OCI image and a bootable disk",
		Long: `Builds a flavor from its distribution's signed archive into an OCI image, and
writes a bootable disk from that image. The output folder gets image/ (an OCI
layout), disk.raw (sparse) and build.json (see docs/build-json.md).

With --k3s or --k0s the image has a Kubernetes, which the configuration of a node
starts (see docs/kubernetes.md).

Outputs appear when they are complete; until then, those of the last build stay.
Building again with nothing changed takes a moment and changes nothing.`,
		Example: `  kairos-build flavor debian-13
  kairos-build flavor debian-13 -o /srv/images/edge --cloud-config site.yaml --version v1.4.0
  kairos-build flavor debian-13 --k3s v1.34
  kairos-build flavor debian-13 --k0s v1.34.1+k0s.0 --airgap --mirror k0s=file:///srv/mirror/k0s
  kairos-build flavor debian-12 --model cloud --artifact image --json
  kairos-build flavor debian-13 --slot-size 6G --recovery-size 4G
  kairos-build flavor debian-13 --mirror http://mirror.example.org/debian --mirror security=http://mirror.example.org/debian-security
  BUILDKIT_HOST=tcp://builder:1234 kairos-build flavor debian-13`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return flavors.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			builder, state, err := eng.options()
			if err != nil {
				return err
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := setSources(&o, state, mirror, kube, t.log); err != nil {
				return t.close(commandline.UsageError{Err: err})
			}
			o.Flavor, o.State, o.Progress, o.Log = args[0], state, t, t.log
			o.Builder, o.Program = engine.Builder{Options: builder}, payload.Program
			result, err := factory.Build(cmd.Context(), o)
			if err := t.close(err); err != nil {
				return err
			}
			return printResult(cmd.OutOrStdout(), result, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Dir, "output", "o", "", "output `folder` (default out/NAME)")
	flags.StringArrayVar(&o.CloudConfigs, "cloud-config", nil, "cloud-config `file` for the disk's /oem; may be repeated")
	compatFlag(flags, &o.Configs)
	sizeFlags(flags, &o.Sizes)
	flags.StringSliceVar(&o.Artifacts, "artifact", factory.Artifacts(), "what to make")
	flags.StringVar(&o.Model, "model", "generic", "kind of machine: generic or cloud")
	flags.StringArrayVar(&o.MountPoints, "mount-point", nil, "`directory` that the image has, for a mount; may be repeated (see docs/data.md)")
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture, as Go names it")
	flags.StringArrayVar(&mirror, "mirror", nil, "archive `URL`, or security=URL; k3s=URL or k0s=URL for their files; may be repeated (default: the host's own apt configuration, else the flavor's; the publishers)")
	flags.StringVar(&o.Base, "base", "", "image to start from in place of the archive: OCI layout, OCI archive or registry `reference`")
	flags.StringVar(&o.Version, "version", version, "version of the image, a semantic version")
	flags.BoolVar(&asJSON, "json", false, "print build.json on stdout")
	kube.add(flags)
	eng.add(flags)
	talk.add(flags)
	commandline.Complete(cmd, "artifact", factory.Artifacts())
	commandline.Complete(cmd, "model", []string{"generic", "cloud"})
	commandline.Complete(cmd, "arch", []string{"amd64"})
	return cmd
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
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	if r.Image != nil {
		fmt.Fprintf(w, "image  %s  %s\n", filepath.Join(r.Dir, r.Image.Path), r.Image.Digest)
	}
	for _, d := range r.Disks {
		fmt.Fprintln(w, diskLine(filepath.Join(r.Dir, d.Path), d))
	}
	_, err := fmt.Fprintf(w, "facts  %s\n", filepath.Join(r.Dir, "build.json"))
	return err
}
