// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

func TestByTurns(t *testing.T) {
	b := &bench{options: options{n: 3}, talk: io.Discard}
	var order []string
	ours := func() (job, error) { order = append(order, "ours"); return job{seconds: 2}, nil }
	rival := func() (job, error) { order = append(order, "rival"); return job{seconds: 4}, nil }
	r := Result{Goal: 0.5}
	if err := b.byTurns(&r, nil, ours, rival); err != nil || !slices.Equal(r.Ours, Series{2, 2, 2}) || !slices.Equal(r.Rival, Series{4, 4, 4}) {
		t.Errorf("%v, %+v", err, r)
	}
	if want := "ours rival rival ours ours rival"; strings.Join(order, " ") != want {
		t.Errorf("got %q, want %q", order, want)
	}
	broken := errors.New("no rival")
	for name, r := range map[string]Result{"before": {Goal: 0.5}, "in a round": {Goal: 0.5}} {
		early := broken
		if name != "before" {
			early = nil
		}
		err := b.byTurns(&r, early, ours, func() (job, error) { return job{seconds: 9}, broken })
		if !errors.Is(err, broken) || len(r.Ours) != 3 || r.Rival != nil || r.Goal != 0 {
			t.Errorf("%s: %v, %+v: want ours alone, without a goal", name, err, r)
		}
	}
	r = Result{Goal: 0.5}
	if err := b.byTurns(&r, nil, func() (job, error) { return job{}, broken }, rival); !errors.Is(err, broken) || r.Ours != nil || r.Rival != nil {
		t.Errorf("%v, %+v: want no figure", err, r)
	}
}

func TestRPMConfig(t *testing.T) {
	flavor, err := flavors.Load("rocky-9")
	if err != nil {
		t.Fatal(err)
	}
	choice, err := recipes.Choose(flavor, recipes.Options{Arch: arch})
	if err != nil {
		t.Fatal(err)
	}
	tools := (&bench{mirrors: mirrors{main: "http://d.example.org"}}).rpmRivals()[1].tools
	golden.Check(t, "testdata/mkosi-rpm.conf", rpmConfig(choice, tools)+"\n"+rpmSources(flavor, "http://m.example.org"))
}

func TestMatrixText(t *testing.T) {
	m, err := flavors.ParseMatrix("matrix.yaml", []byte(matrixText("debian-12, debian-13", "none, k3s v1.36, k0s v1.36")))
	if err != nil || len(m.Cells()) != 6 {
		t.Errorf("%v: want six images", err)
	}
}
