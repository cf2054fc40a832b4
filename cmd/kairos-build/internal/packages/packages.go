// SPDX-License-Identifier: Apache-2.0

// Package packages says what a build gets from a package family. Each family
// is a package below this one.
package packages

import (
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
)

// A Set is the exact packages of a recipe.
type Set struct {
	Epoch   time.Time // the date of the distribution's release: no file is newer
	Indexes []Index   // that vouch for the packages
	// Inputs are for a root that starts empty.
	Inputs []inputs.Source
	// Over are the inputs for a root that starts from an image, whose package
	// database is given: what it has already is left out, and there is no base.
	Over func(database []byte) ([]inputs.Source, error)
}

// An Index is a signed file of an archive.
type Index struct {
	URL    string // as it may be shown
	SHA256 string // hex
}
