// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

func newConfig(p *program) *cobra.Command {
	var o configOptions
	cmd := commandline.Verbs(&cobra.Command{
		Use:   "config",
		Short: "Show the merged config, and where each value came from",
		Example: `  kairos-agent config get hostname
  kairos-agent config explain users`,
	}, newConfigGet(p, &o), newConfigExplain(p, &o))
	f := cmd.PersistentFlags()
	f.BoolVar(&o.asJSON, "json", false, "print JSON, as documented in framework/config")
	f.StringArrayVar(&o.files, "file", nil, "read `FILE` (or - or a URL) and not the configs of this node; may be repeated")
	compatFlag(f, &o.Options)
	return cmd
}

func newConfigGet(p *program, o *configOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "get KEY",
		Short: "Print a value of the merged config, as YAML",
		Example: `  kairos-agent config get hostname
  kairos-agent config get users.kairos.groups --json
  kairos-agent config get --file site.yaml hostname`,
		Args:              commandline.Args(cobra.ExactArgs(1)),
		ValidArgsFunction: p.completeKey(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := p.lookUp(cmd.Context(), args[0], *o)
			if err != nil {
				return err
			}
			return p.printValue(found, o.asJSON)
		},
	}
}

func newConfigExplain(p *program, o *configOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [KEY] [FILE]...",
		Short: "Print where each value came from, with file, line and column",
		Example: `  kairos-agent config explain
  kairos-agent config explain hostname
  kairos-agent config explain users site.yaml`,
		ValidArgsFunction: p.completeKey(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := ""
			if len(args) > 0 {
				key = args[0]
				o.files = append(o.files, args[1:]...)
			}
			found, err := p.lookUp(cmd.Context(), key, *o)
			if err != nil {
				return err
			}
			return p.printOrigins(found, o.asJSON)
		},
	}
}

// completeKey offers the keys of the config, and files after the key.
func (p *program) completeKey(o *configOptions) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		files, err := p.configFiles(cmd.Context(), *o)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return config.Explain(files).Paths(), cobra.ShellCompDirectiveNoFileComp
	}
}

type configOptions struct {
	config.Options
	asJSON bool
	files  []string
}

// lookUp finds a key in the merged config. It prints which parts of files are not used.
func (p *program) lookUp(ctx context.Context, key string, o configOptions) (*config.Value, error) {
	files, err := p.configFiles(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if text := report.Unused(f); text != "" {
			fmt.Fprintln(p.stderr, text)
		}
	}
	root := config.Explain(files)
	found := root.Find(key)
	if found == nil {
		return nil, fmt.Errorf("no config gives the key %q%s", key, near(key, root))
	}
	return found, nil
}

func near(key string, root *config.Value) string {
	if word := nearest.Word(key, root.Paths()); word != "" {
		return fmt.Sprintf("; did you mean %q?", word)
	}
	return ""
}

func (p *program) configFiles(ctx context.Context, o configOptions) ([]config.File, error) {
	if len(o.files) > 0 {
		return p.checker(o.Options).Read(ctx, o.files)
	}
	return o.Load(os.DirFS(p.node.Root.Dir), layout.ConfigDirs()).Files, nil
}

// printValue prints a value as JSON or YAML; in YAML a plain text stays as it is.
func (p *program) printValue(v *config.Value, asJSON bool) error {
	if asJSON {
		return p.printJSON(v.Plain())
	}
	text, err := v.YAML()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(p.stdout, text)
	return err
}

func (p *program) printOrigins(v *config.Value, asJSON bool) error {
	if asJSON {
		return p.printJSON(v)
	}
	_, err := fmt.Fprintln(p.stdout, strings.Join(v.Lines(), "\n"))
	return err
}

func (p *program) printJSON(v any) error { return commandline.WriteJSON(p.stdout, v) }
