// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/referrers"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing/verify"
)

func newEvidence() *cobra.Command {
	var asJSON, all bool
	var keys []string
	var policyFile string
	var place referrers.Place
	cmd := &cobra.Command{
		Use:   "evidence IMAGE",
		Short: "Show what is in an image, how it was made and what was tested of it",
		Long: `Reads the documents about an image: the bills of materials (SPDX and CycloneDX), the
provenance and, after "kairos-build test --attest", the test result. See docs/evidence.md.

IMAGE is the folder of a build, a folder with an OCI layout, a tar of one, or an image in
a registry, by tag or by digest. In a registry, the documents are attached to the image:
"kairos-build push" does that.

With --key or --policy it says of each signature who made it. Without them, nothing is
verified, and it says so. A document about another image, for instance the test result of
an earlier build, is named and not used.`,
		Example: `  kairos-build evidence out/debian-13
  kairos-build evidence out/debian-13 --all
  kairos-build evidence registry.example.org/edge/debian:v1.4.0 --key cosign.pub
  kairos-build evidence registry.example.org/edge/debian:v1.4.0 --policy policy.yaml --json`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if place.Trust, err = trusted(keys, policyFile); err != nil {
				return commandline.UsageError{Err: err}
			}
			place.Ref = args[0]
			summary, err := readEvidence(cmd.Context(), place)
			if err != nil {
				return commandline.UsageError{Err: err}
			}
			return printEvidence(cmd.OutOrStdout(), summary, asJSON, all)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&keys, "key", nil, "`file` with the public keys of signers, such as cosign.pub; may be repeated")
	flags.StringVar(&policyFile, "policy", "", "`file` with a policy (docs/trust.md) that names the signers")
	flags.StringVar(&place.Arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.BoolVar(&asJSON, "json", false, "print JSON, with every component and every check")
	flags.BoolVar(&all, "all", false, "list every component and every check")
	return cmd
}

// readEvidence reads the documents about an image. The folder of a build must have some.
func readEvidence(ctx context.Context, place referrers.Place) (evidence.Summary, error) {
	place.Built = factory.BuiltImage(place.Ref)
	summary, err := place.Read(ctx)
	if err != nil {
		return summary, err
	}
	if place.Built != "" && len(summary.Documents) == 0 {
		return summary, fmt.Errorf("%s has no evidence: it was built by an older kairos-build; build it again", place.Ref)
	}
	return summary, nil
}

// trusted is whose signatures count; nil if nothing is said about that.
func trusted(keys []string, policyFile string) (referrers.Trust, error) {
	switch {
	case policyFile != "" && keys != nil:
		return nil, errors.New("--key and --policy: leave one of them out")
	case policyFile != "":
		p, err := openPolicy(policyFile)
		if err != nil {
			return nil, err
		}
		return p.Trust, nil
	case keys == nil:
		return nil, nil
	}
	var trust verify.Trust
	for _, file := range keys {
		more, err := readKeys(file)
		if err != nil {
			return nil, err
		}
		trust.Keys = append(trust.Keys, more...)
	}
	return func(string) (verify.Trust, func(verify.Signer) string) { return trust, verify.Signer.String }, nil
}

func readKeys(file string) ([]crypto.PublicKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	keys, err := verify.ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("--key: %s: %w", file, err)
	}
	return keys, nil
}

// openPolicy reads a policy. The files that it names are those of a node: here they are
// looked for beside it, by their last name.
func openPolicy(file string) (*policy.Policy, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	p, err := policy.Parse(file, data, func(path string) ([]byte, error) {
		return os.ReadFile(filepath.Join(filepath.Dir(file), filepath.Base(path)))
	})
	if err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	return p, nil
}

func printEvidence(w io.Writer, s evidence.Summary, asJSON, all bool) error {
	if asJSON {
		return commandline.WriteJSON(w, s)
	}
	return s.Print(w, all)
}
