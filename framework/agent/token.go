// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newToken() *cobra.Command {
	return commandline.Verbs(&cobra.Command{
		Use:   "token",
		Short: "Show a join token of k0s, or change the address in it",
		Long: `A join token of k0s is a kubeconfig, packed, with the address of the cluster in it.
FILE holds the token; "-" is standard input. A token is a secret.`,
		Example: `  kairos-agent token show token
  kairos-agent token rewrite --server https://k0s.example.org token > new-token`,
	}, newTokenShow(), newTokenRewrite())
}

func newTokenShow() *cobra.Command {
	var role string
	var secret, asJSON bool
	cmd := &cobra.Command{
		Use:   "show FILE|-",
		Short: "Show the address, role and authority in a join token, without its secret",
		Example: `  kairos-agent token show token
  kairos-agent token show --role worker - < token`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := commandline.ReadToken(cmd, args[0], role)
			if err != nil {
				return err
			}
			if asJSON {
				return commandline.WriteJSON(cmd.OutOrStdout(), token.Summary(secret))
			}
			return token.Summary(secret).WriteTable(cmd.OutOrStdout())
		},
	}
	commandline.RoleFlag(cmd, &role)
	cmd.Flags().BoolVar(&secret, "secret", false, "show the secret, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as documented at Summary in framework/machine/kubernetes/jointoken")
	return cmd
}

func newTokenRewrite() *cobra.Command {
	var role, server string
	cmd := &cobra.Command{
		Use:   "rewrite --server URL FILE|-",
		Short: "Print a join token with another address, and all else as it was",
		Long: `Prints a join token of k0s with another address. Without a port in URL, the port in
the token stays: workers join at 6443, controllers at 9443.`,
		Example: `  kairos-agent token rewrite --server https://k0s.example.org token > new-token
  kairos-agent token rewrite --server https://10.0.0.5:6443 - < token > new-token`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if server == "" {
				return commandline.Usagef(cmd, "which address? Give --server https://HOST or https://HOST:PORT")
			}
			return commandline.RewriteToken(cmd, args[0], role, server)
		},
	}
	commandline.RoleFlag(cmd, &role)
	cmd.Flags().StringVar(&server, "server", "", "the address of the cluster, `URL`: https://HOST or https://HOST:PORT")
	return cmd
}
