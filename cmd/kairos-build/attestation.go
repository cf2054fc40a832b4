// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/source/policy"
)

// attestationTypes are short names of predicate types, as a policy has them.
func attestationTypes() map[string]string {
	return map[string]string{"tested": policy.TypeTested, "provenance": policy.TypeProvenance, "spdx": policy.TypeSPDX, "cyclonedx": policy.TypeCycloneDX}
}

func newAttest() *cobra.Command {
	var talk talkFlags
	var who whoFlags
	var kind, file string
	var legacy, asJSON bool
	cmd := &cobra.Command{
		Use:   "attest IMAGE",
		Short: "Attach a signed statement to an image",
		Long: `Signs a statement about an image, and attaches it to the image: in a registry, or in an
OCI layout. IMAGE is what "kairos-build sign" takes; of an index, each image in it gets the
statement, too.

The file of --predicate is JSON. If it is an in-toto statement, as test-result.json and
provenance.json of a build are, it must be about IMAGE, and its predicate is signed; --type
is then not needed. Otherwise it is the predicate itself, such as an SBOM.

A policy can require statements of a type: see docs/trust.md.`,
		Example: `  kairos-build attest out/debian-13 --key release.key --predicate out/debian-13/test-result.json
  kairos-build attest registry.example.org/edge/debian:v1.4.0 --key release.key --type spdx --predicate out/debian-13/sbom.spdx.json
  kairos-build attest registry.example.org/edge/debian:v1.4.0 --keyless --type https://example.org/reviewed/v1 --predicate review.json --json`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := readPredicate(cmd.InOrStdin(), file, kind)
			if err != nil {
				return commandline.Usagef(cmd, "%w", err)
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			result, err := attestImage(cmd, args[0], &who, t, s, legacy)
			if err := t.close(err); err != nil {
				return err
			}
			return printSigned(cmd.OutOrStdout(), result, asJSON)
		},
	}
	flags := cmd.Flags()
	who.add(flags)
	flags.StringVar(&kind, "type", "", "`TYPE` of the statement: tested, provenance, spdx, cyclonedx, or the address of a predicate type")
	flags.StringVar(&file, "predicate", "", "`file` with the predicate or the statement, JSON; - for standard input")
	flags.BoolVar(&legacy, "legacy", false, "also in the format of cosign before version 3")
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	commandline.Complete(cmd, "type", []string{"tested", "provenance", "spdx", "cyclonedx"})
	return cmd
}

// A said is what a statement says.
type said struct {
	kind      string
	predicate json.RawMessage
	subjects  []string // digests; none: of the image that is named
}

// readPredicate reads the file of --predicate.
func readPredicate(stdin io.Reader, file, kind string) (s said, err error) {
	if file == "" {
		return s, errors.New("what is to be said about the image? Name a JSON file with --predicate")
	}
	data, err := readInput(stdin, file)
	if err != nil {
		return s, fmt.Errorf("--predicate: %w", err)
	}
	var statement struct {
		Type          string `json:"_type"`
		PredicateType string `json:"predicateType"`
		Subject       []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
		Predicate json.RawMessage `json:"predicate"`
	}
	if !json.Valid(data) {
		return s, fmt.Errorf("--predicate: %s is no JSON", file)
	}
	s.kind, s.predicate = kind, data
	if long, ok := attestationTypes()[kind]; ok {
		s.kind = long
	}
	if json.Unmarshal(data, &statement) == nil && strings.HasPrefix(statement.Type, "https://in-toto.io/Statement/") {
		if s.kind != "" && s.kind != statement.PredicateType {
			return s, fmt.Errorf("--type %s: %s is a statement of the type %s", kind, file, statement.PredicateType)
		}
		s.kind, s.predicate = statement.PredicateType, statement.Predicate
		for _, subject := range statement.Subject {
			s.subjects = append(s.subjects, "sha256:"+subject.Digest["sha256"])
		}
	}
	switch {
	case s.kind == "":
		return s, errors.New("which type has the statement? Give --type tested, provenance, spdx, cyclonedx or the address of a predicate type")
	case !strings.Contains(s.kind, "://"):
		return s, fmt.Errorf("--type %q: want tested, provenance, spdx, cyclonedx or the address of a predicate type, such as https://example.org/reviewed/v1", kind)
	}
	return s, nil
}

// maxPredicate is the largest file of --predicate, in bytes: an SBOM may be large.
const maxPredicate = 16 << 20

func readInput(stdin io.Reader, file string) ([]byte, error) {
	r := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxPredicate+1))
	if err == nil && len(data) > maxPredicate {
		err = fmt.Errorf("%s has more than %d bytes", file, maxPredicate)
	}
	return data, err
}

func attestImage(cmd *cobra.Command, text string, who *whoFlags, t *talker, s said, legacy bool) (*notary.Signed, error) {
	ctx := cmd.Context()
	ref, err := notary.Find(text)
	if err != nil {
		return nil, err
	}
	n, err := who.open(ctx, cmd, t)
	if err != nil {
		return nil, err
	}
	place, all, err := ref.Open(ctx, who.reach(t))
	if err != nil {
		return nil, err
	}
	if len(s.subjects) > 0 {
		about := all[:0:0]
		for _, subject := range all {
			if slices.Contains(s.subjects, subject.Digest.String()) {
				about = append(about, subject)
			}
		}
		if len(about) == 0 {
			return nil, commandline.UsageError{Err: fmt.Errorf("the statement is about %s, and %s has %s: it is not signed", strings.Join(s.subjects, ", "), text, all[len(all)-1].Digest)}
		}
		all = about
	}
	r := &notary.Signed{Format: notary.FormatVersion, Image: text, Type: s.kind}
	err = step(t, "attest "+text, func(func(done, total int64)) error {
		r.Digests, err = n.AttestAll(ctx, place, all, s.kind, s.predicate, legacy)
		return err
	})
	r.Signer = n.Signer.Who()
	return r, err
}
