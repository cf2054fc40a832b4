// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// Parse decodes and validates the flavor in data. file is used in messages
// only. The error is [strict.Problems]: every problem, in the order of the file.
func Parse(file string, data []byte) (*Flavor, error) {
	flavor := &Flavor{}
	problems := strict.DecodeDocument(file, "", data, func(root strict.Node) {
		value(root, "", reflect.ValueOf(flavor).Elem())
	})
	if len(problems) > 0 { // also a warning: an empty file, or a key without a value
		return nil, problems
	}
	flavor.sha256, flavor.source = sha256.Sum256(data), source{file, data}
	return flavor, nil
}

// Digest is the digest of the flavor's file: sha256:<hex>.
func (f *Flavor) Digest() string { return "sha256:" + hex.EncodeToString(f.sha256[:]) }

// value decodes n into v, which is a struct, a map, a list or a string.
func value(n strict.Node, rules string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		structure(n, v)
	case reflect.Map:
		mapping(n, v)
	case reflect.Slice:
		list(n, rules, v)
	case reflect.String:
		text(n, rules, v)
	default:
		panic("BUG: no rule for decoding a " + v.Kind().String())
	}
}

func structure(n strict.Node, v reflect.Value) {
	var fields []strict.Field
	var missing []string
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if !v.Type().Field(i).IsExported() {
			continue
		}
		key, rules := tag.Get("yaml"), tag.Get("rule")
		if strings.Contains(rules, "required") {
			missing = append(missing, key)
		}
		fields = append(fields, strict.Field{Name: key, Decode: func(n strict.Node) {
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == key })
			value(n, rules, v.Field(i))
		}})
	}
	n.Map(fields...)
	for _, key := range missing {
		if n.IsMap() {
			n.Fail(fmt.Sprintf("the key %q is missing", key), "")
		}
	}
}

func mapping(n strict.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	n.Each(func(name string, _, below strict.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		value(below, "", element)
		v.SetMapIndex(reflect.ValueOf(name), element)
	})
}

func list(n strict.Node, rules string, v reflect.Value) {
	for _, item := range n.List("texts") {
		element := reflect.New(v.Type().Elem()).Elem()
		value(item, rules, element)
		v.Set(reflect.Append(v, element))
	}
}

func text(n strict.Node, rules string, v reflect.Value) {
	s, ok := n.Text()
	if !ok {
		return
	}
	v.SetString(s)
	for rule := range strings.SplitSeq(rules, ",") {
		if check := checks[rule]; check.ok != nil && !check.ok(s) {
			n.Fail(fmt.Sprintf("%q is not %s", strict.Printable(s), check.want), "")
		}
	}
}
