// SPDX-License-Identifier: Apache-2.0

// Package packages defines what a build gets from a package family. Each family is a
// package below this one.
package packages

import (
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
)

// A Set is the exact packages of a recipe.
type Set struct {
	Epoch   time.Time // the date of the distribution's release: no file is newer
	Indexes []Index   // the signed files that list the packages
	// Inputs are the inputs for a root that starts empty.
	Inputs []inputs.Source
	// Over returns the inputs for a root that starts from an image with the given
	// package database. They omit the packages of the image, and there is no base.
	Over func(database []byte) ([]inputs.Source, error)
}

// An Index is a signed file of an archive.
type Index struct {
	URL    string // in the form of fetch.Shown
	SHA256 string // hex
}
