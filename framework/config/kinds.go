// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// kind is a way to read a value, and its shape.
type kind[V any] struct {
	shape *shape
	get   func(value) (V, bool)
}

var (
	aText    = kind[string]{textShape, value.Text}
	aGiven   = kind[string]{givenShape, value.NonEmpty}
	aBool    = kind[bool]{boolShape, value.Boolean}
	anInt    = kind[int]{intShape, value.Integer}
	aPath    = kind[string]{pathShape, value.absolute}
	aURL     = kind[string]{urlShape, value.httpURL}
	aName    = kind[string]{accountShape, value.account}
	aSize    = kind[int]{between(0, 1<<30), sizeOf}
	anything = kind[string]{anyShape, func(value) (string, bool) { return "", true }}
)

// sizeOf is an integer from 0 to 1<<30. In Kairos a size is in MiB.
func sizeOf(v value) (int, bool) {
	n, ok := v.Integer()
	if ok && (n < 0 || n > 1<<30) {
		v.Fail(fmt.Sprintf("%d is out of range", n), "use 0 or more")
		return 0, false
	}
	return n, ok
}

// oneOf is a text that must be one of words.
func oneOf(words ...string) kind[string] {
	return kind[string]{wordsOf(words...), func(v value) (string, bool) {
		s, ok := v.NonEmpty()
		if ok && !slices.Contains(words, s) {
			v.Fail(fmt.Sprintf("%q is none of %s", strict.Printable(s), strings.Join(words, ", ")), "")
			return "", false
		}
		return s, ok
	}}
}

// formed is a text that matches re; what names the form, such is an example.
func formed(re *lazyregexp.Regexp, what, such string) kind[string] {
	return kind[string]{matching(re.String()), func(v value) (string, bool) {
		s, ok := v.NonEmpty()
		if ok && !re.MatchString(s) {
			v.Fail(fmt.Sprintf("%q is not %s", strict.Printable(s), what), "write it such as "+such)
			return "", false
		}
		return s, ok
	}}
}

// many is a list.
func many[V any](of string, k kind[V]) kind[[]V] {
	return kind[[]V]{listOf(k.shape), func(v value) ([]V, bool) {
		out := []V{}
		for _, item := range v.list(of) {
			if x, ok := k.get(item); ok {
				out = append(out, x)
			}
		}
		return out, true
	}}
}

// replacing is a list that a later file replaces, in place of adding to it.
func replacing[V any](k kind[V]) kind[V] { return kind[V]{k.shape.joined(replaced), k.get} }

// mapped is a mapping whose keys the writer chooses.
func mapped[V any](k kind[V]) kind[map[string]V] {
	return kind[map[string]V]{mapOf(k.shape), func(v value) (map[string]V, bool) {
		out := map[string]V{}
		for _, p := range v.pairs() {
			if p.value.IsNull() {
				p.value.Empty()
				continue
			}
			if x, ok := k.get(p.value); ok {
				out[p.name] = x
			}
		}
		return out, true
	}}
}

// aScalar is a text, or a number or a boolean as it is written.
var aScalar = kind[string]{scalarShape, func(v value) (string, bool) {
	t, ok := v.scalar()
	return t.Text, ok
}}

// checked is the result of values that are checked and that nothing acts on.
type checked struct{}

// object is a mapping with the keys of a table, whose values are only checked.
func object(table []field[checked]) kind[checked] {
	return kind[checked]{mapping(table), func(v value) (checked, bool) {
		decodeMap(v, table, &checked{})
		return checked{}, true
	}}
}

// eitherOf is a mapping, or a value of the kind other.
func eitherOf[V any](object kind[checked], other kind[V]) kind[checked] {
	return kind[checked]{either(object.shape, other.shape), func(v value) (checked, bool) {
		if v.IsMapping() {
			return object.get(v)
		}
		_, ok := other.get(v)
		return checked{}, ok
	}}
}

// instead is a key that a node cannot act on; what says what to write in its place.
func instead[V any](k kind[V], what string) kind[V] {
	return kind[V]{k.shape, func(v value) (V, bool) {
		v.Report(Warning, "has no effect: the root is a verified image, which nothing on a node changes", what)
		return k.get(v)
	}}
}

// keep is a key whose value is stored in a field of T.
func keep[T, V any](name, about string, k kind[V], at func(*T) *V) field[T] {
	return field[T]{name: name, about: about, shape: k.shape, decode: func(v value, into *T) { set(v, at(into), k.get) }}
}

// keepPointer is keep for a field that stays nil when the key is not given.
func keepPointer[T, V any](name, about string, k kind[V], at func(*T) **V) field[T] {
	return field[T]{name: name, about: about, shape: k.shape, decode: func(v value, into *T) { setPointer(v, at(into), k.get) }}
}

// check is a key whose value is checked only.
func check[V any](name, about string, k kind[V]) field[checked] {
	return field[checked]{name: name, about: about, shape: k.shape, decode: func(v value, _ *checked) { k.get(v) }}
}

// noted is a key that is understood and needs no action.
func noted[T, V any](name, about string, k kind[V]) field[T] {
	return field[T]{name: name, about: about, shape: k.shape, decode: func(v value, _ *T) { k.get(v) }}
}

// idle is a key that is understood and that nothing acts on yet.
func idle[T, V any](name, about string, k kind[V]) field[T] {
	return field[T]{name: name, about: about, shape: k.shape, idle: true, decode: func(v value, _ *T) { k.get(v) }}
}

// unused is a key that is known and that nothing looks at yet.
func unused[T any](name, about string) field[T] { return field[T]{name: name, about: about} }

// hidden says that the value of a key is a secret.
func (f field[T]) hidden() field[T] {
	f.secret = true
	return f
}
