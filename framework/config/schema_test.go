// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func TestSchemaFile(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "../../docs/cloud-config.schema.json", string(got))
}

func compiledSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("cloud-config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("cloud-config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a config as an editor sees it.
func instance(data []byte) (any, error) {
	var doc any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if doc == nil {
		doc = map[string]any{}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// corpus are the files of a folder of configs by name.
func corpus(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(dir + "/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no configs in %s: %v", dir, err)
	}
	out := map[string][]byte{}
	for _, name := range names {
		if out[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestSchemaAccepts: what the decoder takes, the schema takes.
func TestSchemaAccepts(t *testing.T) {
	s := compiledSchema(t)
	for name, data := range corpus(t, "testdata/accepted") {
		doc, err := instance(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: the decoder takes it, the schema does not: %v", name, err)
		}
	}
}

// TestSchemaRefusesTypos: a key with a typo is refused, in every mapping that
// has keys of its own.
func TestSchemaRefusesTypos(t *testing.T) {
	s := compiledSchema(t)
	for _, in := range []string{
		"hostnam: a", "users: [{nam: ada}]", "users: [{name: ada, shel: /bin/sh}]", "write_files: [{path: /a, mode: x}]",
		"stages: {boot: [{comands: [a]}]}", "stages: {boot: [{files: [{path: /a, contents: a}]}]}", "health: {time: 1m}",
		"k3s: {enable: true}", "install: {devise: auto}", "p2p: {auto: {ha: {master_node: 1}}}", "ntp: {server: [a]}",
		"kubevip: {eipp: 1.2.3.4}", "chpasswd: {user: []}", "hostname: 12", "strict: maybe", "upgrade: {tries: 4}",
	} {
		if _, problems := Decode("a.yaml", []byte(in)); !problems.Failed() {
			t.Errorf("%s: the decoder takes it", in)
		}
		doc, err := instance([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(doc) == nil {
			t.Errorf("%s: the schema takes it", in)
		}
	}
}

// probes are values of every kind, right and wrong ones.
var probes = []string{
	"true", "no", "0", "7", "1.5", "null", "a", `""`, "auto", "localhost", "/etc/a", "a b", "192.0.2.1", "90s", "0644", `"0644"`,
	"https://example.org/a", "[]", "{}", "[a]", "[a, b]", "[[a, b]]", "[[null, /srv/a]]", "{a: b}", "{A: 1}", "[{name: a}]", "[{path: /a}]", "[A=b]",
	"[192.0.2.1]", "a.service", "[a.service]", "{name: a}", "{a: [b]}", "default", "[default]", "{layout: de}", "x.example.org:80", "false",
}

// TestSchemaIsNeverStricter tries every value at every key: the schema must accept
// what the decoder accepts without an error. Exceptions are values that are empty or
// of another type: the decoder warns about them.
func TestSchemaIsNeverStricter(t *testing.T) {
	s := compiledSchema(t)
	tried := 0
	for _, at := range places(mapping(rootFields), "", 0) {
		for _, probe := range probes {
			in := strings.Replace(at, "%", probe, 1)
			tried++
			_, problems := Decode("a.yaml", []byte(in))
			if problems.Failed() || slices.ContainsFunc(problems, Problem.Lenient) {
				continue
			}
			doc, err := instance([]byte(in))
			if err != nil {
				t.Fatalf("%s: %v", in, err)
			}
			if err := s.Validate(doc); err != nil {
				t.Errorf("%s\nthe decoder takes it, the schema does not: %v", in, err)
			}
		}
	}
	if tried < 5000 {
		t.Errorf("only %d values tried", tried)
	}
}

// places are documents on one line with a % where the value of a key goes.
func places(s *shape, around string, depth int) []string {
	if around == "" {
		around = "%"
	}
	var out []string
	for _, e := range s.asMapping().keys {
		if depth == 1 && strings.HasPrefix(around, "{stages:") && e.name != "boot" {
			continue // the stages are all alike
		}
		one := strings.Replace(around, "%", fmt.Sprintf("{%s%s: %%}", siblings(s.asMapping(), e.name), e.name), 1)
		out = append(out, one)
		if depth < 6 {
			out = append(out, places(e.shape, one, depth+1)...)
			if list := e.shape.asList(); list.items != nil {
				out = append(out, places(list.item(), strings.Replace(one, "%", "[%]", 1), depth+1)...)
			}
		}
	}
	if s.others != nil && s.keys == nil && depth < 6 {
		out = append(out, places(s.others, strings.Replace(around, "%", "{ada: %}", 1), depth+1)...)
	}
	return out
}

// siblings are the other required keys of a mapping, with values.
func siblings(s *shape, but string) string {
	var b strings.Builder
	for _, name := range s.needs {
		if value, ok := map[string]string{"path": "/a", "url": "https://example.org/", "name": "ada", "layout": "de", "service": "a", "content": "a"}[name]; ok && name != but {
			fmt.Fprintf(&b, "%s: %s, ", name, value)
		}
	}
	return b.String()
}

// each calls fn for every key at every depth, once for those under $defs. A key
// never has a better standing than the key above it.
func each(s *shape, path string, seen map[string]bool, fn func(path string, e entry)) {
	eachBelow(s, path, implemented, seen, fn)
}

func eachBelow(s *shape, path string, above standing, seen map[string]bool, fn func(path string, e entry)) {
	if s.def != "" && seen[s.def] {
		return
	}
	seen[s.def] = true
	for _, e := range s.keys {
		e.standing = max(e.standing, above)
		fn(path+e.name, e)
		eachBelow(e.shape, path+e.name+".", e.standing, seen, fn)
	}
	for _, below := range slices.Concat(s.either, pointed(s.items), pointed(s.others)) {
		eachBelow(below, path, above, seen, fn)
	}
}

func pointed(s *shape) []*shape {
	if s == nil {
		return nil
	}
	return []*shape{s}
}

// TestEveryKeyIsDescribed: an editor shows a sentence for each key.
func TestEveryKeyIsDescribed(t *testing.T) {
	each(mapping(rootFields), "", map[string]bool{}, func(path string, e entry) {
		if e.about == "" || !strings.HasSuffix(e.about, ".") {
			t.Errorf("%s: its description is %q; add a sentence beside its decode function, or in stepshapes.go", path, e.about)
		}
	})
}

// TestCountKeys prints the figures: go test -run TestCountKeys -v.
func TestCountKeys(t *testing.T) {
	root, step, all := map[standing]int{}, map[standing]int{}, map[standing]int{}
	for _, e := range entries(rootFields) {
		root[e.standing]++
	}
	for _, e := range stepShape.keys {
		step[e.standing]++
	}
	each(mapping(rootFields), "", map[string]bool{}, func(_ string, e entry) { all[e.standing]++ })
	for _, c := range []struct {
		what string
		n    map[standing]int
	}{{"root", root}, {"step", step}, {"all", all}} {
		total := 0
		for n := range maps.Values(c.n) {
			total += n
		}
		t.Logf("%s keys: %d of %d implemented, %d understood only, %d known only", c.what, c.n[implemented], total, c.n[understood], c.n[known])
	}
	if root[implemented] < 37 {
		t.Errorf("%d root keys are implemented", root[implemented])
	}
}

// TestNoKeyTwice: a table with a name twice would decode the first only.
func TestNoKeyTwice(t *testing.T) {
	each(mapping(rootFields), "", map[string]bool{}, func(path string, e entry) {
		names := map[string]bool{}
		for _, below := range e.shape.keys {
			if names[below.name] {
				t.Errorf("%s.%s: twice", path, below.name)
			}
			names[below.name] = true
		}
	})
	names := map[string]bool{}
	for _, e := range entries(rootFields) {
		if names[e.name] {
			t.Errorf("%s: twice", e.name)
		}
		names[e.name] = true
	}
}
