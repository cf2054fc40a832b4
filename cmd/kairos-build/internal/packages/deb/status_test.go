// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
)

// status is a dpkg database with every state that matters.
const status = `Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12
Description: GNU C Library
 Version: 9 in a text is no field

Package: held
Status: hold ok installed
Architecture: all
Version: 1:1.0

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: foreign
Status: install ok installed
Architecture: i386
Version: 1.0

Package: newer
Status: install ok installed
Architecture: amd64
Version: 2.0-1~mine1
`

func TestMissingPackages(t *testing.T) {
	installed, err := installedPackages([]byte(status), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"libc6": "2.41-12", "held": "1:1.0", "newer": "2.0-1~mine1"}
	if diff := cmp.Diff(want, installed); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	var got []string
	for _, p := range missing([]*archive.Package{
		{Name: "libc6", Version: "2.41-12+deb13u1"}, {Name: "held", Version: "1:1.0"}, {Name: "removed", Version: "1.0"},
		{Name: "foreign", Version: "1.0"}, {Name: "newer", Version: "1.9-1"}, {Name: "absent", Version: "1.0"},
	}, installed) {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"libc6", "removed", "foreign", "absent"}, got); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}
