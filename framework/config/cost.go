// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// A mistake costs the smallest part without which the rest is certain: a value of a
// user, an item of a list, a step, or a key at the top of the file. That part is cut
// out of the document, and the rest must then decode without an error. So only a
// correct file takes effect. A cut never grants access: a lock that cannot be read is
// locked, and what was meant for a user who is left out is for nobody. docs/config.md
// has the rules for people.

// maxCuts limits how often a document is cut and decoded again. A cut can cause an
// error in a part that needs it, once or twice.
const maxCuts = 8

// maxMistakes is the number of errors up to which a file can be used in part.
const maxMistakes = 1000

// config decodes the root mapping, without what its mistakes cost.
func (d *decoder) config(root *yaml.Node) (*Config, Problems) {
	c := d.decodeRoot(root)
	problems := d.done()
	for range maxCuts {
		if !problems.Failed() || problems.Refused() {
			return c, problems
		}
		if len(problems.Only(Error)) > maxMistakes {
			break
		}
		next := d.again()
		next.cut(root, problems)
		c = next.decodeRoot(root)
		more := next.done().Only(Error)
		if len(more) == 0 {
			return c, problems
		}
		news := more.Without(problems)
		if len(news) == 0 {
			break // what was cut has not helped
		}
		problems = append(problems, news...).Sorted()
	}
	for i := range problems {
		problems[i].Costs = nil
	}
	return c, problems
}

func (d *decoder) decodeRoot(root *yaml.Node) *Config {
	c := &Config{Origins: d.origins}
	d.remember("", decodeMap(d.root(root), rootFields, c))
	d.addCloudInit(c)
	c.titleSteps()
	return c
}

// again is a decoder for the same file.
func (d *decoder) again() *decoder {
	out := newDecoder(d.Name, Options{Compat: d.Compat, Distribution: d.distribution})
	out.Lines, out.Gap = d.Lines, d.Gap
	return out
}

// costs fills in what each error costs.
func (d *decoder) costs(ps Problems) Problems {
	for i := range ps {
		if p := &ps[i]; p.Severity == Error && p.Costs == nil && !p.Whole {
			p.Costs = d.costOf(keysOf(p.Path))
		}
	}
	return ps
}

// keyPath is the path of a problem, split: names of keys, and indices with "#" before.
type keyPath []string

var pathPart = regexp.MustCompile(`^(?:\.?([A-Za-z0-9_-]+)|\[([0-9]+)\]|\[("(?:[^"\\]|\\.)*")\])`)

func keysOf(text string) keyPath {
	var out keyPath
	for text != "" {
		m := pathPart.FindStringSubmatch(text)
		switch {
		case m == nil:
			return nil
		case m[1] != "":
			out = append(out, m[1])
		case m[2] != "":
			out = append(out, "#"+m[2])
		default:
			name, err := strconv.Unquote(m[3])
			if err != nil {
				return nil
			}
			out = append(out, name)
		}
		text = text[len(m[0]):]
	}
	return out
}

// String is the path as problems show it.
func (p keyPath) String() string {
	at := ""
	for _, key := range p {
		if number, isItem := strings.CutPrefix(key, "#"); isItem {
			key = "[" + number + "]"
		}
		at = strict.Below(at, key)
	}
	return at
}

// first is the first n parts of a path.
func (p keyPath) first(n int) keyPath { return p[:min(n, len(p))] }

// Items of these lists are independent: the others take effect without one of them.
var (
	loneItems = []string{"write_files", "mounts", "ssh_authorized_keys", "ssh_import_id", "groups", "cloud-init-paths", "env"}
	userItems = []string{"ssh_authorized_keys", "ssh_import_id", "groups"}
	pairItems = [][2]string{{"chpasswd", "users"}, {"chpasswd", "list"}, {"ca_certs", "trusted"}, {"ca-certs", "trusted"}}
)

// costOf is what a mistake at a path costs; nil means the whole file.
func (d *decoder) costOf(at keyPath) []string {
	if len(at) == 0 {
		return nil
	}
	paths := []keyPath{costly(at)}
	switch cut := paths[0]; {
	case cut[0] == "mount_default_fields":
		paths = append(paths, keyPath{"mounts"})
	case d.isMain(cut):
		// What was meant for this user must not go to the next one.
		for _, key := range nameless {
			paths = append(paths, keyPath{key})
		}
	}
	var out []string
	for _, p := range paths {
		out = append(out, p.String())
	}
	return out
}

// isMain tells whether a path may be that of the main user of the file.
func (d *decoder) isMain(at keyPath) bool {
	switch {
	case at[0] == "user" && len(at) == 1:
		return true
	case at[0] != "users" || len(at) > 2 || d.cloud.main != "":
		return false
	}
	return len(at) == 1 || d.cloud.asksDefault == nil && (at[1] == "#0" || !strings.HasPrefix(at[1], "#"))
}

// nameless are keys at the top that are for the main user of a file.
var nameless = []string{"ssh_authorized_keys", "ssh_import_id", "password", "ssh_pwauth"}

func costly(at keyPath) keyPath {
	switch key := at[0]; {
	case key == "stages":
		return costlyStep(at)
	case key == "user":
		return costlyUser(at, 1)
	case key == "users":
		return costlyUser(at, 2)
	case slices.Contains(loneItems, key):
		return at.first(2)
	case len(at) > 2 && slices.Contains(pairItems, [2]string{key, at[1]}):
		return at.first(3)
	case key == "chpasswd":
		return at.first(2)
	}
	return at.first(1)
}

// costlyUser is what a mistake in a user costs; n is where its keys begin. Without
// a name there is no user. A list of sudo rules is cut as a whole: a rule may take
// back what another grants.
func costlyUser(at keyPath, n int) keyPath {
	switch {
	case len(at) <= n:
		return at
	case at[n] == "name":
		return at.first(n)
	case len(at) > n+1 && slices.Contains(userItems, at[n]):
		return at.first(n + 2)
	}
	return at.first(n + 1)
}

// costlyStep is what a mistake in a step costs: a part of the users or of the SSH keys,
// or else the step, see cutStep.
func costlyStep(at keyPath) keyPath {
	switch {
	case len(at) < 5:
	case at[3] == "users":
		return costlyUser(at, 5)
	case at[3] == "authorized_keys":
		return at.first(6)
	}
	if len(at) > 3 && slices.Contains(letIn, at[3]) && len(at) < 5 {
		return at
	}
	return at.first(3)
}

// letIn are the keys of a step that grant logins.
var letIn = []string{"users", "authorized_keys"}

// cut removes what problems cost from the document.
func (d *decoder) cut(root *yaml.Node, problems Problems) {
	open := map[string]bool{}  // steps that may keep their users
	named := map[string]bool{} // steps with a name that can be used
	for _, p := range problems.Only(Error) {
		at := keysOf(p.Path)
		for _, costs := range p.Costs {
			to := keysOf(costs)
			if len(to) == 0 {
				continue
			}
			if len(to) == 3 && to[0] == "stages" {
				before, seen := open[costs]
				open[costs] = keepsPeople(at) && (before || !seen)
				named[costs] = !slices.Contains(at, "name") && (named[costs] || !seen)
				continue
			}
			d.cutAt(root, to)
		}
	}
	for _, step := range slices.Sorted(maps.Keys(open)) {
		d.cutStep(root, keysOf(step), named[step], open[step])
	}
}

// keepsPeople tells whether a step with a mistake keeps its users. It does not when
// the mistake is a condition, or an unknown key, which may be meant as a condition.
func keepsPeople(at keyPath) bool {
	return len(at) > 3 && slices.Contains(stepKeys, at[3]) && !slices.Contains(conditions, at[3])
}

// conditions are the keys that decide whether and when a step runs.
var conditions = []string{"if", "if_files", "only_os", "only_os_version", "only_arch", "only_service_manager", "node", "after"}

// cutStep removes the keys of a step. With named, its name stays, so that others may
// come after it; with keep, its conditions, users and SSH keys stay.
func (d *decoder) cutStep(root *yaml.Node, at keyPath, named, keep bool) {
	step := lookAt(root, at)
	if step == nil || step.Kind != yaml.MappingNode {
		d.cutAt(root, at)
		return
	}
	var kept []string
	if named {
		kept = append(kept, "name")
	}
	if keep {
		kept = slices.Concat(kept, conditions, letIn)
	}
	for i := 0; i+1 < len(step.Content); {
		if key := step.Content[i]; key.ShortTag() == "!!merge" || slices.Contains(kept, key.Value) && key.Kind == yaml.ScalarNode {
			i += 2
			continue
		}
		step.Content = slices.Delete(step.Content, i, i+2)
	}
}

// shut has the values that replace those that cannot be read, where leaving them out
// would grant access.
var shut = map[string]string{"lock_passwd": "true", "sudo": "false", "disable_root": "true", "ssh_pwauth": "false", "strict": "true"}

// nowhere replaces the addresses of the forges when ssh_forges cannot be read: at
// another forge the names may belong to other people.
const nowhere = "https://ssh-forges.invalid"

// cutAt removes a key from its mapping, or an item from its list without moving the
// others.
func (d *decoder) cutAt(root *yaml.Node, at keyPath) {
	parent := lookAt(root, at[:len(at)-1])
	if parent == nil {
		return
	}
	last := at[len(at)-1]
	if number, isItem := strings.CutPrefix(last, "#"); isItem {
		if i, err := strconv.Atoi(number); err == nil && parent.Kind == yaml.SequenceNode && i < len(parent.Content) {
			parent.Content[i] = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", HeadComment: cutMark, Line: parent.Content[i].Line, Column: parent.Content[i].Column}
		}
		return
	}
	for _, m := range withMerged(parent, 0) {
		d.cutKey(m, last, at)
	}
	if strings.Contains(last, "lock") && last != "lock_passwd" && inUser(at) {
		parent.Content = append(parent.Content, scalar("!!str", "lock_passwd"), scalar("!!bool", "true"))
	}
}

// cutMark tells an item that was cut from one that has no value.
const cutMark = "cut"

func (d *decoder) cutKey(mapping *yaml.Node, name string, at keyPath) {
	isShut := false
	for i := 0; i+1 < len(mapping.Content); {
		switch key := mapping.Content[i]; {
		case key.Value != name:
			i += 2
		case shut[name] != "" && (len(at) == 1 || inUser(at)) && !isShut:
			mapping.Content[i+1] = scalar("!!bool", shut[name])
			isShut = true
			i += 2
		case name == "ssh_forges" && len(at) == 1:
			mapping.Content[i+1] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: key.Line, Column: key.Column, Content: []*yaml.Node{
				scalar("!!str", "github"), scalar("!!str", nowhere), scalar("!!str", "gitlab"), scalar("!!str", nowhere),
			}}
			i += 2
		default:
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
		}
	}
}

// inUser tells whether a path is that of a key of a user.
func inUser(at keyPath) bool {
	return at[0] == "user" && len(at) == 2 || at[0] == "users" && len(at) == 3 || at[0] == "stages" && len(at) == 6 && at[3] == "users"
}

func scalar(tag, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text, Line: 1, Column: 1}
}

// lookAt is the node at a path, or nil.
func lookAt(n *yaml.Node, at keyPath) *yaml.Node {
	n = behindAlias(n)
	if len(at) == 0 {
		return n
	}
	if number, isItem := strings.CutPrefix(at[0], "#"); isItem {
		i, err := strconv.Atoi(number)
		if err != nil || n.Kind != yaml.SequenceNode || i >= len(n.Content) {
			return nil
		}
		return lookAt(n.Content[i], at[1:])
	}
	for _, m := range withMerged(n, 0) {
		if i := keyIndex(m, at[0]); i >= 0 {
			return lookAt(m.Content[i+1], at[1:])
		}
	}
	return nil
}

func behindAlias(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && i < 100; i++ {
		n = n.Alias
	}
	return n
}

// withMerged are a mapping and those that its merge keys name.
func withMerged(n *yaml.Node, depth int) []*yaml.Node {
	n = behindAlias(n)
	if depth > 20 {
		return nil
	}
	var out []*yaml.Node
	switch n.Kind {
	case yaml.MappingNode:
		out = append(out, n)
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].ShortTag() == "!!merge" {
				out = append(out, withMerged(n.Content[i+1], depth+1)...)
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if depth > 0 {
				out = append(out, withMerged(item, depth+1)...)
			}
		}
	}
	return out
}
