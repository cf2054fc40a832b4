// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// whoFlags are the flags of verbs that do nothing but sign.
type whoFlags struct {
	signerFlags
	key      string
	keyless  bool
	insecure bool
}

func (f *whoFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.key, "key", "", "`KEY` that signs: a file, a reference to a key service such as awskms:///alias/release, or new for the key in the state folder")
	flags.BoolVar(&f.keyless, "keyless", false, "sign with a certificate for an identity token")
	flags.BoolVar(&f.insecure, "insecure-registry", false, "use http, for a registry on this machine alone")
	f.signerFlags.add(flags)
}

// who is the value for signerFlags.open.
func (f *whoFlags) who() (string, error) {
	switch {
	case f.keyless && f.key != "":
		return "", errors.New("--key and --keyless: leave one of them out")
	case f.keyless:
		return signKeyless, nil
	case f.key == "":
		return "", errors.New("who signs? Name a key with --key FILE (`kairos-build key FILE` makes one), or say --keyless")
	}
	return f.key, nil
}

// open opens the signer.
func (f *whoFlags) open(ctx context.Context, cmd *cobra.Command, t *talker) (*notary.Notary, error) {
	who, err := f.who()
	if err != nil {
		return nil, commandline.Usagef(cmd, "%w", err)
	}
	return f.signerFlags.open(ctx, who, newDesk(cmd, t))
}

// reach says how a registry is reached.
func (f *whoFlags) reach(t *talker) publish.Options {
	return publish.Options{Insecure: f.insecure, Progress: t, Log: t.log}
}

func newSign() *cobra.Command {
	var talk talkFlags
	var who whoFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sign IMAGE",
		Short: "Sign an image or a file",
		Long: `Signs an image where it is, by its digest:

  a registry       REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:…; of an index, each image in
                   it, too
  DIR              the folder of a build, or an OCI layout: the signature is stored in the
                   layout, where nodes find it
  FILE.tar         a tar of an OCI layout: the same
  FILE             any other file, such as a disk: the signature is FILE.sigstore.json

An image that has this signature already is left as it is. The signature has two formats,
for cosign 3 and for older versions. See docs/signing.md.`,
		Example: `  kairos-build sign out/debian-13 --key release.key
  kairos-build sign out/debian-13/disk.raw --key release.key
  kairos-build sign registry.example.org/edge/debian:v1.4.0 --key release.key --password-file /run/secrets/release
  kairos-build sign registry.example.org/edge/debian:v1.4.0 --key awskms:///alias/release
  kairos-build sign registry.example.org/edge/debian:v1.4.0 --keyless --json`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			result, err := signImage(cmd, args[0], &who, t)
			if err := t.close(err); err != nil {
				return err
			}
			return printSigned(cmd.OutOrStdout(), result, asJSON)
		},
	}
	flags := cmd.Flags()
	who.add(flags)
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	return cmd
}

func signImage(cmd *cobra.Command, text string, who *whoFlags, t *talker) (*notary.Signed, error) {
	ctx := cmd.Context()
	ref, err := notary.Find(text)
	if err != nil {
		return nil, err
	}
	n, err := who.open(ctx, cmd, t)
	if err != nil {
		return nil, err
	}
	r := &notary.Signed{Format: notary.FormatVersion, Image: text}
	if ref.Kind == notary.File {
		err = step(t, "sign "+ref.Path, func(watch func(done, total int64)) error {
			d, err := n.SignFile(ctx, ref.Path, watch)
			r.Digests = append(r.Digests, d)
			return err
		})
		r.Signer = n.Signer.Who()
		return r, err
	}
	place, all, err := ref.Open(ctx, who.reach(t))
	if err != nil {
		return nil, err
	}
	err = step(t, "sign "+text, func(func(done, total int64)) error {
		r.Digests, err = n.SignAll(ctx, place, all)
		return err
	})
	r.Signer = n.Signer.Who()
	return r, err
}

// step runs do as a step of the progress.
func step(t *talker, name string, do func(watch func(done, total int64)) error) error {
	s := t.Step(name)
	err := do(s.Progress)
	if errors.Is(err, context.Canceled) {
		s.Done(false, progress.ErrInterrupted)
		return err
	}
	s.Done(false, err)
	return err
}

// printSigned prints what was signed, and by whom.
func printSigned(w io.Writer, r *notary.Signed, asJSON bool) error {
	if asJSON {
		return commandline.WriteJSON(w, r)
	}
	for _, d := range r.Digests {
		what := "signed"
		switch {
		case r.Type != "":
			what = "attested " + r.Type + " of"
		case d.Present:
			what = "is signed:"
		}
		if _, err := fmt.Fprintf(w, "%s %s  by %s\n", what, d.Digest, r.Signer); err != nil {
			return err
		}
	}
	return nil
}
