// SPDX-License-Identifier: Apache-2.0

package commandline

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/jointoken"
)

// RewriteToken prints the join token in a file with another address. role is as in
// ReadToken.
func RewriteToken(cmd *cobra.Command, arg, role, server string) error {
	token, err := ReadToken(cmd, arg, role)
	if err != nil {
		return err
	}
	if token, err = token.Rewrite(server); err != nil {
		return UsageError{Err: err}
	}
	for _, doubt := range token.Doubts() {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", doubt)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), token.Text())
	return err
}

// RoleFlag defines --role for ReadToken.
func RoleFlag(cmd *cobra.Command, role *string) {
	cmd.Flags().StringVar(role, "role", "", "refuse a token for another `ROLE` than this one: worker or controller")
	Complete(cmd, "role", []string{string(jointoken.Worker), string(jointoken.Controller)})
}

// ReadToken reads a join token of k0s as ReadSecret does. It must be for role, unless that
// is empty.
func ReadToken(cmd *cobra.Command, arg, role string) (jointoken.Token, error) {
	wanted := jointoken.Role(role)
	if role != "" && wanted != jointoken.Worker && wanted != jointoken.Controller {
		return jointoken.Token{}, Usagef(cmd, "--role %q: want worker or controller", role)
	}
	text, err := ReadSecret(cmd.InOrStdin(), arg)
	if err != nil {
		return jointoken.Token{}, err
	}
	token, err := jointoken.Parse(text)
	if err == nil && role != "" {
		err = token.For(wanted)
	}
	if err != nil {
		return jointoken.Token{}, UsageError{Err: err}
	}
	return token, nil
}
