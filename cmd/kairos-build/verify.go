// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// trustFlags say whom to trust.
type trustFlags struct {
	keys            []string
	issuer, subject string
	root, file      string
}

func (f *trustFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.keys, "key", nil, "`file` with a trusted public key, such as release.pub; may be repeated")
	flags.StringVar(&f.issuer, "issuer", "", "keyless: `URL` of who vouches for the signer, such as https://token.actions.githubusercontent.com")
	flags.StringVar(&f.subject, "subject", "", "keyless: `identity` of the signer: an address, or a workflow; * stands for any text")
	flags.StringVar(&f.root, "trusted-root", "", "keyless: `file` with the trusted root (trusted_root.json)")
	flags.StringVar(&f.file, "policy", "", "`file` with the policy of a node, see docs/trust.md")
}

// policy is what the flags say, as a node has it.
func (f *trustFlags) policy() (*policy.Policy, error) {
	given := len(f.keys) > 0 || f.issuer != "" || f.subject != "" || f.root != ""
	switch {
	case f.file != "" && given:
		return nil, errors.New("--policy says whom to trust: leave --key, --issuer, --subject and --trusted-root out")
	case f.file != "":
		p, _, err := readPolicy(f.file)
		return p, err
	case !given:
		return nil, errors.New("whom to trust? Name a public key with --key FILE, an identity with --issuer and --subject, or the policy of a node with --policy FILE")
	}
	p := &policy.Policy{}
	for _, file := range f.keys {
		if err := addKeys(p, file); err != nil {
			return nil, fmt.Errorf("--key: %w", err)
		}
	}
	return p, f.addIdentity(p)
}

func addKeys(p *policy.Policy, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	keys, err := verify.ParseKeys(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, key := range keys {
		p.Keys = append(p.Keys, policy.Key{Name: filepath.Base(file), Key: key})
	}
	return nil
}

func (f *trustFlags) addIdentity(p *policy.Policy) (err error) {
	switch {
	case f.issuer == "" && f.subject == "" && f.root == "":
		return nil
	case f.issuer == "" || f.subject == "" || f.root == "":
		return errors.New("a keyless signature is verified with --issuer, --subject and --trusted-root: name all three")
	}
	p.Identities = append(p.Identities, policy.Identity{Identity: verify.Identity{Issuer: f.issuer, Subject: f.subject}})
	if p.Root, err = os.ReadFile(f.root); err != nil {
		return fmt.Errorf("--trusted-root: %w", err)
	}
	return nil
}

func newVerify() *cobra.Command {
	var talk talkFlags
	var trust trustFlags
	var arch string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify IMAGE",
		Short: "Verify the signature of an image or a file",
		Long: `Says whether a node would trust IMAGE, and why, or why not. It decides as a node does:
with --policy by the whole policy, with --key or --issuer and --subject by the signature
alone. IMAGE is what "kairos-build sign" takes. The exit status is 1 if it is not trusted.`,
		Example: `  kairos-build verify out/debian-13 --key release.pub
  kairos-build verify registry.example.org/edge/debian:v1.4.0 --policy policy.yaml
  kairos-build verify out/debian-13/disk.raw --key release.pub --json
  kairos-build verify registry.example.org/edge/debian:v1.4.0 --issuer https://token.actions.githubusercontent.com --subject https://github.com/example/images/.github/workflows/release.yml@refs/tags/* --trusted-root trusted_root.json`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := trust.policy()
			if err != nil {
				return commandline.Usagef(cmd, "%w", err)
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			var result *notary.Verified
			err = step(t, "verify "+args[0], func(watch func(done, total int64)) error {
				result, err = notary.Verify(cmd.Context(), args[0], notary.VerifyOptions{Policy: p, Arch: arch, Now: time.Now, Watch: watch}) //nolint:forbidigo // a policy may have ages
				return err
			})
			if err := t.close(err); err != nil {
				return err
			}
			return printVerified(cmd.OutOrStdout(), result, asJSON)
		},
	}
	flags := cmd.Flags()
	trust.add(flags)
	flags.StringVar(&arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	return cmd
}

func printVerified(w io.Writer, r *notary.Verified, asJSON bool) error {
	if asJSON {
		return commandline.WriteJSON(w, r)
	}
	fmt.Fprintf(w, "trusted %s\n", r.Digest)
	for _, reason := range r.Reasons {
		if _, err := fmt.Fprintf(w, "        %s\n", reason); err != nil {
			return err
		}
	}
	return nil
}
