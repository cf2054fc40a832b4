// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/arguments"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// given is an argument of a config.
type given struct {
	name   string // without dashes; the long one, if the list of the image has it
	value  string
	valued bool // false: a switch without a value
	at     config.Text
}

// String is the argument for a command line.
func (g given) String() string {
	if !g.valued {
		return arguments.Dashed(g.name)
	}
	if len(g.name) == 1 {
		return "-" + g.name + g.value
	}
	return "--" + g.name + "=" + g.value
}

// reader reads the arguments of a role, each of them one or two items of a list.
type reader struct {
	role     role
	image    *Image // nil: not known
	rest     []config.Text
	found    []given
	problems config.Problems
}

// arguments reads the arguments of a role: those that are made, then those of the
// config. A value may be in the same item, behind = or a blank, or be the next item.
func (r role) arguments(c *config.Config, image *Image) ([]given, config.Problems) {
	k := r.of(c)
	in := reader{role: r, image: image}
	if k.ReplaceArgs == nil || !*k.ReplaceArgs {
		in.rest = r.made(c)
	}
	in.rest = append(in.rest, k.Args...)
	for len(in.rest) > 0 {
		in.next()
	}
	return in.found, in.problems
}

// made are the arguments that other keys ask for.
func (r role) made(c *config.Config) (made []config.Text) {
	if r.key != config.K3s {
		return nil
	}
	if k := c.K3s.EmbeddedRegistry; k != nil && *k {
		made = append(made, config.Text{Text: "--embedded-registry", Origin: c.Origins["k3s.embedded_registry"], Path: "k3s.embedded_registry"})
	}
	if address := c.KubeVIP.Address; c.KubeVIP.On() && address.Text != "" {
		made = append(made, config.Text{Text: "--tls-san=" + address.Text, Origin: address.Origin, Path: address.Path})
	}
	return made
}

func (in *reader) next() {
	g := given{at: in.rest[0]}
	in.rest = in.rest[1:]
	body := strings.TrimLeft(g.at.Text, "-")
	if body == g.at.Text || body == "" {
		in.fail(g.at, "it is neither an argument, which begins with --, nor the value of one", "")
		return
	}
	g.name = body
	if i := strings.IndexAny(body, "= "); i >= 0 {
		g.name, g.value, g.valued = body[:i], strings.TrimSpace(body[i+1:]), true
	}
	needs, known := in.known(&g)
	if !g.valued && needs && len(in.rest) > 0 && !strings.HasPrefix(in.rest[0].Text, "-") {
		g.value, g.valued = in.rest[0].Text, true
		in.rest = in.rest[1:]
	}
	if known && needs && !g.valued {
		in.fail(g.at, fmt.Sprintf("%s needs a value", arguments.Dashed(g.name)), fmt.Sprintf("write it such as %s=VALUE", arguments.Dashed(g.name)))
	}
	in.found = append(in.found, g)
}

// known looks the argument up in the list of the image. Without a list, a value that
// follows belongs to the argument.
func (in *reader) known(g *given) (needs, known bool) {
	if in.image == nil || len(in.image.Arguments) == 0 {
		return true, false
	}
	list := in.image.Arguments
	a, ok := list.Find(in.role.command, g.name)
	if !ok {
		in.fail(g.at, fmt.Sprintf("%s %s takes no argument %s", in.role.program(), in.image.Version, strict.Printable(arguments.Dashed(g.name))), list.Suggest(in.role.command, g.name))
		return true, false
	}
	g.name = a.Names[0]
	return !a.Switch, true
}

func (in *reader) fail(at config.Text, message, suggestion string) {
	in.problems = append(in.problems, in.role.problem(at, message, suggestion))
}

// program is the program and its command, for people.
func (r role) program() string { return string(r.distribution) + " " + r.command }

// problem is a mistake that costs the role.
func (r role) problem(at config.Text, message, suggestion string) config.Problem {
	path := at.Path
	if path == "" {
		path = r.key
	}
	return config.Problem{Position: at.Origin, Path: path, Message: message, Suggestion: suggestion, Severity: config.Error, Costs: []string{r.key}}
}
