// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/nearest"
)

var configVerb = verb{
	name: "config", args: "get KEY | explain [KEY] [FILE]...", about: "show the merged config, and where each value came from",
	setup: func(f *flag.FlagSet, p *program) func(context.Context, []string) error {
		var o configOptions
		f.BoolVar(&o.asJSON, "json", false, "print JSON, as documented in framework/config")
		f.Func("file", "read `FILE` (or - or a URL) and not the configs of this node; may be repeated", func(name string) error {
			o.files = append(o.files, name)
			return nil
		})
		compatFlag(f, &o.Options)
		return func(ctx context.Context, args []string) error {
			words, err := interspersed(f, args)
			if err != nil {
				return err
			}
			return p.config(ctx, words, o)
		}
	},
}

type configOptions struct {
	config.Options
	asJSON bool
	files  []string
}

// interspersed are the words of args; flags may stand between them.
func interspersed(f *flag.FlagSet, args []string) ([]string, error) {
	var words []string
	for len(args) > 0 {
		words = append(words, args[0])
		if err := f.Parse(args[1:]); err != nil {
			return nil, errUsage
		}
		args = f.Args()
	}
	return words, nil
}

func (p *program) config(ctx context.Context, words []string, o configOptions) error {
	switch {
	case len(words) == 2 && words[0] == "get", len(words) == 1 && words[0] == "explain":
	case len(words) >= 2 && words[0] == "explain":
		o.files = append(o.files, words[2:]...)
	default:
		fmt.Fprintln(p.stderr, "kairos-agent config: say `config get KEY` or `config explain [KEY] [FILE]...`")
		return errUsage
	}
	key := ""
	if len(words) > 1 {
		key = words[1]
	}
	found, err := p.lookUp(ctx, key, o)
	if err != nil {
		return err
	}
	if words[0] == "get" {
		return p.printValue(found, o.asJSON)
	}
	return p.printOrigins(found, o.asJSON)
}

// lookUp finds a key in the merged config. What keeps a file from being used is
// said.
func (p *program) lookUp(ctx context.Context, key string, o configOptions) (*config.Value, error) {
	files, err := p.configFiles(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !f.Used() {
			fmt.Fprintln(p.stderr, notUsed(f))
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
	return o.Load(os.DirFS(p.root.Dir), layout.ConfigDirs()).Files, nil
}

// printValue prints YAML, or a text as it is.
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

func (p *program) printJSON(v any) error {
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
