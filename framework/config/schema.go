// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Schema is the JSON Schema (draft 2020-12) of a cloud-config, for editors and
// for `kairos-agent schema`. It is made from the tables that decode, so it has
// the same keys. It accepts what the decoder accepts, except what is Lenient;
// the decoder checks more.
func Schema() ([]byte, error) {
	w := schemaWriter{defs: map[string]any{}}
	root := w.object(mapping(rootFields))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "cloud-config of kairos-build"
	root["description"] = "What a node is to be: users, files, stages. docs/config.md says more."
	root["$defs"] = w.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the JSON Schema: %w", err)
	}
	return append(out, '\n'), nil
}

// schemaWriter makes schemas. Shapes that are used several times go to defs.
type schemaWriter struct{ defs map[string]any }

func (w schemaWriter) schema(s *shape) map[string]any {
	if s.def == "" {
		return w.object(s)
	}
	if _, done := w.defs[s.def]; !done {
		w.defs[s.def] = nil // a shape may hold itself
		w.defs[s.def] = w.object(s)
	}
	return map[string]any{"$ref": "#/$defs/" + s.def}
}

func (w schemaWriter) object(s *shape) map[string]any {
	out := map[string]any{}
	switch {
	case len(s.types) == 1:
		out["type"] = s.types[0]
	case len(s.types) > 1:
		out["type"] = s.types
	}
	put(out, "enum", s.words, len(s.words) > 0)
	put(out, "pattern", s.pattern, s.pattern != "")
	put(out, "minLength", s.minLen, s.minLen > 0)
	put(out, "minimum", s.least, s.least != nil)
	put(out, "maximum", s.most, s.most != nil)
	put(out, "required", s.needs, len(s.needs) > 0)
	if s.items != nil {
		out["items"] = w.schema(s.items)
	}
	w.alternatives(out, s.either)
	w.properties(out, s)
	return out
}

func put(out map[string]any, key string, value any, given bool) {
	if given {
		out[key] = value
	}
}

func (w schemaWriter) alternatives(out map[string]any, shapes []*shape) {
	if len(shapes) == 0 {
		return
	}
	list := make([]any, len(shapes))
	for i, e := range shapes {
		list[i] = w.schema(e)
	}
	out["anyOf"] = list
}

func (w schemaWriter) properties(out map[string]any, s *shape) {
	if s.keys != nil {
		keys := map[string]any{}
		for _, e := range s.keys {
			keys[e.name] = w.entry(e)
		}
		out["properties"] = keys
		out["additionalProperties"] = false
	}
	if s.others != nil {
		out["additionalProperties"] = w.schema(s.others)
	}
}

func (w schemaWriter) entry(e entry) map[string]any {
	out := w.schema(e.shape)
	out["description"] = e.words()
	put(out, "writeOnly", true, e.secret)
	return out
}

// words are the description of a key and its standing.
func (e entry) words() string {
	about := strings.TrimSpace(e.about)
	switch e.standing {
	case understood:
		about += " Understood, and not implemented yet in this version: its value is checked, and nothing acts on it."
	case known:
		about += " Known, and not implemented yet in this version."
	}
	return strings.TrimSpace(about)
}
