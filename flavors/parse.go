// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// A Problem is one mistake in a flavor file.
type Problem struct {
	File         string
	Line, Column int    // both start at 1
	Path         string // models.generic.kernel[0]
	Message      string
}

func (p *Problem) Error() string {
	at := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path == "" {
		return at + p.Message
	}
	return at + p.Path + ": " + p.Message
}

// Parse decodes and validates the flavor in data. file is used in messages
// only. The error joins every [Problem], in the order of the file.
func Parse(file string, data []byte) (*Flavor, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("%s: the file is empty: want a flavor", file)
	}
	p := parser{file: file}
	flavor := &Flavor{}
	p.value(doc.Content[0], "", "", reflect.ValueOf(flavor).Elem())
	if len(p.problems) > 0 {
		return nil, p.err()
	}
	return flavor, nil
}

type parser struct {
	file     string
	problems []*Problem
}

func (p *parser) err() error {
	slices.SortStableFunc(p.problems, func(a, b *Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	errs := make([]error, len(p.problems))
	for i, problem := range p.problems {
		errs[i] = problem
	}
	return errors.Join(errs...)
}

func (p *parser) fail(n *yaml.Node, path, format string, args ...any) {
	p.problems = append(p.problems, &Problem{File: p.file, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// value decodes n into v, which is a struct, a map, a list or a string.
func (p *parser) value(n *yaml.Node, path, rules string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		p.structure(n, path, v)
	case reflect.Map:
		p.mapping(n, path, v)
	case reflect.Slice:
		p.list(n, path, rules, v)
	case reflect.String:
		p.text(n, path, rules, v)
	default:
		panic("BUG: no rule for decoding a " + v.Kind().String())
	}
}

// pairs checks that n is a mapping without duplicate keys and visits them.
func (p *parser) pairs(n *yaml.Node, path string, visit func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, path, "want a mapping, found %s", kind(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if first, dup := seen[key.Value]; dup {
			p.fail(key, join(path, key.Value), "given twice: the first is on line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		visit(key, value)
	}
}

func (p *parser) structure(n *yaml.Node, path string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	present := map[string]bool{}
	p.pairs(n, path, func(key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if i < 0 {
			p.fail(key, join(path, key.Value), "unknown key%s", suggestion(key.Value, fields))
			return
		}
		present[key.Value] = true
		p.value(value, join(path, key.Value), fields[i].rules, v.Field(fields[i].index))
	})
	if n.Kind != yaml.MappingNode {
		return
	}
	for _, f := range fields {
		if strings.Contains(f.rules, "required") && !present[f.key] {
			p.fail(n, path, "the key %q is missing", f.key)
		}
	}
}

func (p *parser) mapping(n *yaml.Node, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	p.pairs(n, path, func(key, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		p.value(value, join(path, key.Value), "", element)
		v.SetMapIndex(reflect.ValueOf(key.Value), element)
	})
}

func (p *parser) list(n *yaml.Node, path, rules string, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		p.fail(n, path, "want a list, found %s", kind(n))
		return
	}
	for i, item := range n.Content {
		element := reflect.New(v.Type().Elem()).Elem()
		p.value(item, fmt.Sprintf("%s[%d]", path, i), rules, element)
		v.Set(reflect.Append(v, element))
	}
}

func (p *parser) text(n *yaml.Node, path, rules string, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		p.fail(n, path, "want a text, found %s%s", kind(n), quoteHint(n))
		return
	}
	v.SetString(n.Value)
	for rule := range strings.SplitSeq(rules, ",") {
		if check := checks[rule]; check.ok != nil && !check.ok(n.Value) {
			p.fail(n, path, "%q is not %s", n.Value, check.want)
		}
	}
}

func quoteHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return fmt.Sprintf(": write %q", n.Value)
}

func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!null":
		return "nothing"
	case n.Tag == "!!int", n.Tag == "!!float":
		return "the number " + n.Value
	case n.Tag == "!!bool":
		return "the truth value " + n.Value
	}
	return "the text " + n.Value
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

type field struct {
	key, rules string
	index      int
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		fields = append(fields, field{key: tag.Get("yaml"), rules: tag.Get("rule"), index: i})
	}
	return fields
}

func suggestion(key string, fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	if near := nearest.Word(key, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Sprintf(" (known: %s)", strings.Join(names, ", "))
}
