// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name, config string
		want         [][]int
	}{
		{"in a row", "[{name: a}, {name: b}, {name: c}]", [][]int{nil, {0}, {1}}},
		{"a graph", "[{name: a}, {name: b, after: [a]}, {name: c, after: [a]}, {name: d, after: [b, c]}]", [][]int{nil, {0}, {0}, {1, 2}}},
		{"the first waits for the second", "[{name: a, after: [b]}, {name: b}, {name: c}]", [][]int{{1}, nil, {1}}},
		{"waits for nothing", "[{name: a}, {name: b, after: []}]", [][]int{nil, nil}},
		{"two of a name", "[{name: a}, {name: a}, {name: b, after: [a, a]}]", [][]int{nil, {0}, {0, 1}}},
		{"with the name of the config", "[{name: a}, {name: b}, {name: c, after: [site.a]}]", [][]int{nil, {0}, {0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := NewPlan("boot", steps(t, "boot", "name: site\nstages: {boot: "+c.config+"}"))
			if err := p.Err(); err != nil {
				t.Fatal(err)
			}
			var got [][]int
			for _, s := range p.Steps {
				got = append(got, s.Waits)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanItself(t *testing.T) {
	p := NewPlan("boot", steps(t, "boot", "stages: {boot: [{name: a, after: [a]}]}"))
	want := `stage boot: c.yaml:1:17: the steps wait for each other: a -> a; remove one "after"`
	if err := p.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
