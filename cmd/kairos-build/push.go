// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/referrers"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// publishFlags say how images get into a registry.
type publishFlags struct {
	moveTag, unsigned, insecure bool
	mountFrom                   []string
	sign                        string
	signer                      signerFlags
}

func (f *publishFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.sign, "sign", "", "sign the image with a `KEY`: a file, a reference to a key service such as awskms:///alias/release, keyless, or new for a key that is made and kept in the state folder")
	f.signer.add(flags)
	flags.BoolVar(&f.unsigned, "unsigned", false, "publish an image that nothing signs, and that nodes refuse")
	flags.BoolVar(&f.moveTag, "move-tag", false, "let a tag that names another image name this one")
	flags.BoolVar(&f.insecure, "insecure-registry", false, "use http, for a registry on this machine alone")
	flags.StringArrayVar(&f.mountFrom, "mount-from", nil, "`repository` of the same registry that may have the layers, such as edge/staging; may be repeated")
}

// options are the options of publishing to target.
func (f *publishFlags) options(target string, t *talker) publish.Options {
	return publish.Options{
		Target: target, MoveTag: f.moveTag, Unsigned: f.unsigned, Insecure: f.insecure, MountFrom: f.mountFrom,
		Progress: t, Log: t.log,
	}
}

// check refuses a contradiction.
func (f *publishFlags) check() error {
	if f.sign != "" && f.unsigned {
		return errors.New("--sign and --unsigned: leave one of them out")
	}
	return nil
}

// opener opens the registry of a build; nil if the build goes nowhere. signer returns who
// signs, or nil.
func (f *publishFlags) opener(target string, t *talker, signer func() *notary.Notary) func(context.Context) (factory.Publisher, error) {
	if target == "" {
		return nil
	}
	return func(ctx context.Context) (factory.Publisher, error) {
		o := f.options(target, t)
		setSigner(&o, signer())
		return publish.Open(ctx, o)
	}
}

// setSigner sets who signs the image and its evidence: nobody, if n is nil.
func setSigner(o *publish.Options, n *notary.Notary) {
	of := referrers.Of{Stale: func(reason string) { o.Log.Warn(reason) }}
	if n != nil {
		o.Signer, of.Signer = n, n.Signer
	}
	o.Evidence = of
}

// openSigner opens the signer of --sign; nil if there is none.
func (f *publishFlags) openSigner(ctx context.Context, target string, d desk) (*notary.Notary, error) {
	if f.sign == "" {
		return nil, nil
	}
	n, err := f.signer.open(ctx, f.sign, d)
	if err != nil {
		return nil, err
	}
	n.Repository = repositoryOf(target)
	return n, nil
}

// repositoryOf is REGISTRY/NAME of REGISTRY/NAME[:TAG].
func repositoryOf(target string) string {
	if at := strings.LastIndexByte(target, ':'); at > strings.LastIndexByte(target, '/') {
		return target[:at]
	}
	return target
}

func newPush() *cobra.Command {
	var talk talkFlags
	var how publishFlags
	var arch string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "push IMAGE... [REPO[:TAG]]",
		Short: "Publish images in a registry",
		Long: `Uploads an image, and gives it a tag when everything else is there: the layers, what is
attached to the image, and the image itself by its digest. An interrupted push leaves no
tag, and the next one goes on from what was uploaded. See docs/publish.md.

What is attached to the image where it comes from (a layout, a registry) is taken along: so
a signed image stays signed. The evidence in the folder of a build is attached, too: the bills of materials, the provenance,
and the test result if there is one. See docs/evidence.md.

IMAGE is the folder of a build, a folder with an OCI layout, a tar of one, or an image in
a registry. Several images, for different architectures, become one index; it needs a TAG.

REPO is REGISTRY/NAME. Without TAG, the image gets its own name:
RELEASE-VARIANT-ARCH-MODEL-VERSION[-k3s-VERSION]. A tag that names another image is left
as it is. With one IMAGE, the folder of a build, REPO may be left out: it is the registry of the
flavor.

With --sign the image is signed before it gets its tag. What signing needs (the key, its
password, the services of keyless signing) is checked first. See docs/signing.md.

Credentials are those of "docker login" and "podman login", with their helpers.`,
		Example: `  kairos-build push --sign release.key out/debian-13 registry.example.org/edge/debian
  kairos-build push --sign keyless out/debian-13 registry.example.org/edge/debian
  kairos-build push --unsigned out/amd64 out/arm64 registry.example.org/edge/debian:v1.4.0
  kairos-build push --unsigned out/debian-13 127.0.0.1:5000/edge/debian --insecure-registry --json
  kairos-build push registry.example.org/staging/debian:v1.4.0 registry.example.org/edge/debian  # signed already`,
		Args: commandline.Args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := how.check(); err != nil {
				return commandline.Usagef(cmd, "%w", err)
			}
			if len(args) == 1 {
				repo, err := factory.RegistryOf(args[0])
				if err != nil {
					return err
				}
				args = append(args, repo)
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			images, target := args[:len(args)-1], args[len(args)-1]
			o := how.options(target, t)
			o.Arch, o.IsSignature = arch, notary.IsSignature
			o.Carry = how.sign != "" || how.unsigned || maySign(cmd.Context(), images)
			n, err := how.openSigner(cmd.Context(), target, newDesk(cmd, t))
			if err != nil {
				return t.close(err)
			}
			setSigner(&o, n)
			result, err := publishAll(cmd.Context(), o, images)
			if err := t.close(err); err != nil {
				return err
			}
			if asJSON {
				return commandline.WriteJSON(cmd.OutOrStdout(), result)
			}
			return printPublished(cmd.OutOrStdout(), result)
		},
	}
	flags := cmd.Flags()
	how.add(flags)
	flags.StringVar(&arch, "arch", "amd64", "architecture to pick from an image in a registry, or a tar, with several")
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	return cmd
}

// maySign tells whether one of the images may bring a signature along: those on this machine
// are looked at, before a registry is asked for anything.
func maySign(ctx context.Context, images []string) bool {
	for _, image := range images {
		ref, err := notary.Find(image)
		if err != nil {
			continue
		}
		if ref.Kind == notary.Registry {
			return true
		}
		place, subjects, err := ref.Open(ctx, publish.Options{})
		if err != nil {
			return true // publishing says what is wrong with it
		}
		for _, s := range subjects {
			if list, err := place.Attached(ctx, s); err != nil || slices.ContainsFunc(list, notary.IsSignature) {
				return true
			}
		}
	}
	return false
}

func publishAll(ctx context.Context, o publish.Options, images []string) (*publish.Result, error) {
	p, err := publish.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return p.Publish(ctx, images...)
}

// printPublished prints where the image is.
func printPublished(w io.Writer, r *publish.Result) error {
	note := ""
	if !r.Signed {
		note = "  not signed"
	}
	_, err := fmt.Fprintf(w, "pushed %s  %s%s\n", r.Reference, r.Digest, note)
	return err
}
