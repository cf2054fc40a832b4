// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/signing"
)

// A keyResult describes a key.
type keyResult struct {
	Format      int    `json:"format"`
	Private     string `json:"private"`          // file or reference
	Public      string `json:"public,omitempty"` // file, of a new key
	PEM         string `json:"pem"`              // the public key
	Fingerprint string `json:"fingerprint"`      // sha256:<hex> of the public key's PKIX form
}

func newKey() *cobra.Command {
	var talk talkFlags
	var who signerFlags
	var show, noPassword, asJSON bool
	cmd := &cobra.Command{
		Use:   "key FILE",
		Short: "Make a key pair that signs images",
		Long: `Makes the key pair FILE.key and FILE.pub. The private key is encrypted with a password,
and other users cannot read it. Files that exist are not replaced. Both have the format of
cosign, which can use them, too. See docs/signing.md.

With --show, FILE is a private key or a reference to a key service (awskms://, gcpkms://,
azurekms://, hashivault://, …), and its public key is printed.

Keep a copy of the private key: the nodes that trust it take upgrades from nobody else.`,
		Example: `  kairos-build key release
  kairos-build key release --password-file /run/secrets/release
  kairos-build key --show release.key
  kairos-build key --show awskms:///alias/release --json`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			d := newDesk(cmd, t)
			r := keyResult{Format: 1, Private: args[0]}
			if !show {
				r, err = who.make(strings.TrimSuffix(args[0], ".key"), noPassword, d)
			}
			if err == nil {
				err = who.describe(cmd.Context(), &r, d)
			}
			if err := t.close(err); err != nil {
				return err
			}
			return printKey(cmd.OutOrStdout(), r, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&who.passwordFile, "password-file", "", "`file` with the password, - for standard input (default $"+envPassword+", $"+envCosignPassword+", or a question)")
	flags.BoolVar(&noPassword, "no-password", false, "do not encrypt the private key with a password")
	flags.BoolVar(&show, "show", false, "print the public key of a private key")
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	return cmd
}

// make makes a key pair.
func (f *signerFlags) make(name string, noPassword bool, d desk) (r keyResult, err error) {
	password, known, err := f.password(d)
	switch {
	case err != nil:
		return r, err
	case noPassword && f.passwordFile != "":
		return r, commandline.UsageError{Err: errors.New("--password-file and --no-password: leave one of them out")}
	case noPassword:
		password = nil
	case !known && !isTerminal(d.stdin):
		return r, commandline.UsageError{Err: fmt.Errorf("the key needs a password: give it with --password-file FILE or in $%s, or say --no-password", envPassword)}
	case !known:
		if password, err = askTwice(d); err != nil {
			return r, err
		}
	}
	r.Format = 1
	f.typed = append([]byte{}, password...)
	r.Private, r.Public, err = signing.NewKey(name, password)
	return r, err
}

func askTwice(d desk) ([]byte, error) {
	first, err := ask(d, "password for the new key: ")
	if err != nil {
		return nil, err
	}
	second, err := ask(d, "once more: ")
	if err == nil && !bytes.Equal(first, second) {
		err = commandline.UsageError{Err: errors.New("the two passwords differ: no key was made")}
	}
	return first, err
}

// describe reads the public key.
func (f *signerFlags) describe(ctx context.Context, r *keyResult, d desk) error {
	n, err := f.open(ctx, r.Private, d)
	if err != nil {
		return err
	}
	pem, err := n.Signer.PublicKey()
	r.PEM, r.Fingerprint = string(pem), strings.TrimPrefix(n.Signer.Who(), "key ")
	return err
}

func printKey(w io.Writer, r keyResult, asJSON bool) (err error) {
	switch {
	case asJSON:
		return commandline.WriteJSON(w, r)
	case r.Public == "":
		_, err = io.WriteString(w, r.PEM)
		return err
	}
	_, err = fmt.Fprintf(w, "private %s\npublic  %s  %s\n", r.Private, r.Public, r.Fingerprint)
	return err
}
