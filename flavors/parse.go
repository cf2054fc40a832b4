// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// Parse decodes and validates the flavor in data. file is used in messages
// only. The error is [strict.Problems]: every problem, in the order of the file.
//
// A flavor of your own may extend another: the paths in it begin at the folder of file.
func Parse(file string, data []byte) (*Flavor, error) { return parse(file, data, nil) }

// parse is Parse for a file that the files above extend.
func parse(file string, data []byte, above chain) (*Flavor, error) {
	d := newDecoder()
	flavor := &Flavor{}
	problems := strict.DecodeDocument(file, "", data, func(root strict.Node) {
		if root.Has("extends") {
			flavor = d.site(root, filepath.Dir(file), append(slices.Clone(above), filepath.Clean(file)))
			return
		}
		d.value(root, "", reflect.ValueOf(flavor).Elem())
		d.ofFamily(flavor)
		flavor.places = d.places
	})
	if len(problems) > 0 { // also a warning: an empty file, or a key without a value
		return nil, problems
	}
	flavor.sources = append(slices.Clone(flavor.sources), Source{flavor.Name, digestOf(data), file})
	return flavor, nil
}

// A Source is a file that a flavor is made of.
type Source struct {
	Name   string // of the flavor in it
	Digest string // sha256:<hex>
	File   string // its path; that of a built-in one begins with flavors/
}

// Sources are the files that the flavor is made of. The last is its own; those before are
// extended.
func (f *Flavor) Sources() []Source { return f.sources }

// Digest is the digest of the flavor's own file: sha256:<hex>.
func (f *Flavor) Digest() string { return f.sources[len(f.sources)-1].Digest }

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// A decoder decodes the file of a flavor by the tags of structures.
type decoder struct {
	places map[string]strict.Position // of names in lists, see place
	nodes  map[string]*strict.Node    // by their paths
}

func newDecoder() *decoder {
	return &decoder{places: map[string]strict.Position{}, nodes: map[string]*strict.Node{}}
}

// place is the key of a name in the list at path, such as packages.add[3].
func place(path, name string) string {
	list, _, _ := strings.Cut(path, "[")
	return list + " " + name
}

// value decodes n into v, which is a struct, a map, a list, a string or a bool.
func (d *decoder) value(n strict.Node, rules string, v reflect.Value) {
	d.nodes[n.Path()] = &n
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Slice:
		d.list(n, rules, v)
	case reflect.String:
		d.text(n, rules, v)
	case reflect.Bool:
		if b, ok := n.Bool(); ok {
			v.SetBool(b)
		}
	default:
		panic("BUG: no rule for decoding a " + v.Kind().String())
	}
}

func (d *decoder) structure(n strict.Node, v reflect.Value) {
	var fields []strict.Field
	var missing []string
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if tag.Get("yaml") == "" {
			continue
		}
		key, rules := tag.Get("yaml"), tag.Get("rule")
		if strings.Contains(rules, "required") {
			missing = append(missing, key)
		}
		fields = append(fields, strict.Field{Name: key, Decode: func(n strict.Node) {
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == key })
			d.value(n, rules, v.Field(i))
		}})
	}
	n.Map(fields...)
	for _, key := range missing {
		if n.IsMap() {
			n.Fail(fmt.Sprintf("the key %q is missing", key), "")
		}
	}
}

func (d *decoder) mapping(n strict.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	n.Each(func(name string, _, below strict.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(below, "", element)
		v.SetMapIndex(reflect.ValueOf(name), element)
	})
}

func (d *decoder) list(n strict.Node, rules string, v reflect.Value) {
	for _, item := range n.List("texts") {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(item, rules, element)
		v.Set(reflect.Append(v, element))
	}
}

func (d *decoder) text(n strict.Node, rules string, v reflect.Value) {
	s, ok := n.Text()
	if !ok {
		return
	}
	v.SetString(s)
	d.places[place(n.Path(), s)] = n.Position()
	for rule := range strings.SplitSeq(rules, ",") {
		if check := checks[rule]; check.ok != nil && !check.ok(s) {
			n.Fail(fmt.Sprintf("%q is not %s", strict.Printable(s), check.want), "")
		}
	}
}
