// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMergeKeepsEveryField: a field that Merge does not know would be lost, also for a node
// with one config file.
func TestMergeKeepsEveryField(t *testing.T) {
	var c Config
	var f filler
	for _, v := range []any{&c.Install, &c.Upgrade, &c.Health} {
		f.fill(t, reflect.ValueOf(v).Elem())
	}
	got := Merge(&Config{}, &c, &Config{})
	for _, pair := range [][2]any{{c.Install, got.Install}, {c.Upgrade, got.Upgrade}, {c.Health, got.Health}} {
		if diff := cmp.Diff(pair[0], pair[1], cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Errorf("-in the config +merged\n%s", diff)
		}
	}
}

// A filler gives every field a value: numbers are all different.
type filler struct{ last int64 }

func (f *filler) fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(t, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				f.fill(t, v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(t, v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		f.last++
		v.SetInt(f.last)
	default:
		t.Fatalf("%s: the test cannot fill it", v.Type())
	}
}
