// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing/verify"
)

func newPolicy(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show, check and make the policy about trusted images",
		Long: `The policy says whose images this node installs. It is in the image, in
` + layout.ImagePolicy + `; through /oem the owner of the node can replace it.
docs/trust.md has the whole story.`,
		Example: `  kairos-agent policy show
  kairos-agent policy check policy.yaml
  kairos-agent policy check --source oci:registry.example.org/node:v2
  kairos-agent policy new --key cosign.pub > 95_policy.yaml`,
		Args: commandline.NoArgs,
	}
	cmd.AddCommand(newPolicyShow(p), newPolicyCheck(p), newPolicyNew(p))
	return cmd
}

func newPolicyShow(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Show whose images this node installs",
		Example: "  kairos-agent policy show",
		Args:    commandline.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			current, err := p.node.Policy()
			if current == nil && err == nil {
				err = fmt.Errorf("%w: there is no policy (%s); %s", policy.ErrNone, layout.ImagePolicy, policy.HowTo)
			}
			if current == nil {
				return err
			}
			if err != nil {
				fmt.Fprintln(p.stderr, err)
			}
			return showPolicy(p.stdout, current)
		},
	}
}

// showPolicy prints a policy for a person.
func showPolicy(w io.Writer, p *policy.Policy) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(p.Keys)+len(p.Identities) == 0 {
		fmt.Fprintln(t, "nobody\tis trusted: no image is installed")
	}
	for _, k := range p.Keys {
		id, err := verify.Fingerprint(k.Key)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "key\t%s\t%s\t%s\n", orDash(k.Name), id, where(k.Repositories))
	}
	for _, i := range p.Identities {
		fmt.Fprintf(t, "identity\t%s\t%s\t%s\n", i.Subject, i.Issuer, where(i.Repositories))
	}
	for _, r := range p.Require {
		fmt.Fprintf(t, "requires\t%s\t%s\n", r.Name, atMost(int(r.MaxAge.Hours()/24)))
	}
	if p.MaxAge > 0 {
		fmt.Fprintf(t, "image\t%s\n", atMost(int(p.MaxAge.Hours()/24)))
	}
	return t.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func where(repositories []string) string {
	if len(repositories) == 0 {
		return "everywhere"
	}
	return strings.Join(repositories, ", ")
}

func atMost(days int) string {
	if days == 0 {
		return ""
	}
	return fmt.Sprintf("at most %d days old", days)
}

func newPolicyCheck(p *program) *cobra.Command {
	registry, from := newRegistryFlags(), ""
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a policy, or an image by the policy of this node",
		Long: `Reads a policy (default: that of this node) and reports every mistake, with line and
column. With --source it says whether this node would install the image, and why. It
writes nothing.`,
		Example: `  kairos-agent policy check
  kairos-agent policy check policy.yaml
  kairos-agent policy check --source oci:registry.example.org/node:v2`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case from != "" && len(args) > 0:
				return commandline.Usagef(cmd, "give a file or --source, not both")
			case from != "":
				return p.checkImage(cmd.Context(), from, registry.options(newLog(p.stderr)))
			}
			return p.checkPolicy(append(args, "")[0])
		},
	}
	cmd.Flags().StringVar(&from, "source", "", "check this image: oci:`REF`, dir:PATH, ocifile:FILE or file:PATH")
	registry.declare(cmd.Flags())
	return cmd
}

func (p *program) checkPolicy(file string) error {
	var current *policy.Policy
	var err error
	if file == "" {
		current, err = p.node.Policy()
	} else {
		var data []byte
		if data, err = os.ReadFile(file); err == nil {
			current, err = p.node.CheckPolicy(file, data)
		}
	}
	if err != nil {
		return err
	}
	if current == nil {
		return fmt.Errorf("%w: there is no policy (%s); %s", policy.ErrNone, layout.ImagePolicy, policy.HowTo)
	}
	fmt.Fprintln(p.stderr, "the policy is correct")
	return showPolicy(p.stdout, current)
}

// checkImage says whether an image is trusted.
func (p *program) checkImage(ctx context.Context, ref string, o source.Options) error {
	reasons, digest, err := p.node.CheckImage(ctx, ref, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, digest)
	for _, reason := range reasons {
		fmt.Fprintln(p.stdout, reason)
	}
	return nil
}

func newPolicyNew(p *program) *cobra.Command {
	var o node.NewPolicy
	var keys []string
	plain := false
	cmd := &cobra.Command{
		Use:   "new --key FILE",
		Short: "Print a cloud-config with a policy that trusts public keys",
		Example: `  kairos-agent policy new --key cosign.pub | sudo tee /oem/95_policy.yaml
  kairos-agent policy new --key new.pub --key old.pub --repository 'registry.example.org/edge/*'
  kairos-agent policy new --key cosign.pub --tested --plain > policy.yaml`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(keys) == 0 {
				return commandline.Usagef(cmd, "whose images are trusted? Give --key FILE, a public key such as cosign.pub")
			}
			for _, file := range keys {
				data, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				o.Keys = append(o.Keys, node.NamedKey{Name: file, PEM: data})
			}
			data, err := o.Encode(!plain)
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(data)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "trust the public key in `FILE`; may be repeated")
	cmd.Flags().StringArrayVar(&o.Repositories, "repository", nil, "trust the keys only for images of `HOST/NAME`, in which a * stands for any text; may be repeated")
	cmd.Flags().BoolVar(&o.Tested, "tested", false, "want a test result of the image")
	cmd.Flags().BoolVar(&plain, "plain", false, "print the policy alone, for an image")
	return cmd
}
