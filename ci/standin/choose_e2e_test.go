// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"io"
	"path/filepath"
	"testing"
)

// TestChoose lets the real program choose the packages of every stand-in from Debian's
// archive. They are not fetched.
func TestChoose(t *testing.T) {
	program, err := filepath.Abs("../../bin/kairos-build")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ubuntu-24.04", "rocky-9", "opensuse-leap-16.0"} {
		t.Run(name, func(t *testing.T) {
			m := maker{name: name, dir: t.TempDir(), program: program, flavors: "../../flavors", out: io.Discard}
			rpms, err := readRPMPlan(name)
			if err != nil {
				t.Fatal(err)
			}
			p := origin(rpms)
			if rpms == nil {
				if p, err = readPlan(name); err != nil {
					t.Fatal(err)
				}
			}
			chosen, err := m.choose(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if len(chosen.packages) < 100 {
				t.Errorf("%d packages are no system", len(chosen.packages))
			}
		})
	}
}
